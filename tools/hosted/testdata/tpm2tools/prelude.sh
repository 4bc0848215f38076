# Read by bash before each script, in an empty directory with a new TPM.
set -eu -o pipefail
# Without a resource manager a tool leaves what it loaded; t runs a tool and
# flushes after it.
t() { "$@"; local rc=$?; tpm2_flushcontext -t; return $rc; }
# fails says that a command has to fail.
fails() {
	if "$@" >/dev/null 2>&1; then echo "succeeded, but must fail: $*"; exit 1; fi
	tpm2_flushcontext -t
}
# flip inverts the lowest bit of byte $2 of file $1.
flip() {
	local b; b=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\$(printf %03o $((b ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
same() { [ "$1" = "$2" ] || { echo "differ: '$1' and '$2'"; exit 1; }; }
primary() { t tpm2_createprimary -Q -C o -G "${1:-ecc}" -c p.ctx; }
# needs ends the script as skipped where the TPM lacks a command.
needs() {
	tpm2_getcap commands > .commands
	for c; do grep "^TPM2_CC_$c:" .commands >/dev/null || { echo "the TPM has no $c"; exit 77; }; done
}
