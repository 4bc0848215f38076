# Read by bash before each script, in an empty directory with a new TPM. TCTI
# says where it is. A script's first line names the Debian packages that it
# needs beyond tpm2-tools and openssl.
set -eu -o pipefail
export TPM2TOOLS_TCTI=$TCTI TSS2_LOG=all+none
# fails says that a command has to fail.
fails() {
	if "$@" >/dev/null 2>&1; then echo "succeeded, but must fail: $*"; exit 1; fi
}
# until_true tries a command for ten seconds.
until_true() {
	for _ in $(seq 100); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	echo "never succeeded: $*"
	exit 1
}
# measure extends a PCR, so that it has another value.
measure() { tpm2_pcrextend "$1:sha256=$(echo "$RANDOM" | sha256sum | cut -d' ' -f1)"; }
