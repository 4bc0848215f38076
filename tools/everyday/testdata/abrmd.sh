# packages: tpm2-abrmd libtss2-tcti-tabrmd0 dbus
# The resource manager, and several clients at once, each with more keys in use
# than the TPM has slots for all of them. No client flushes.
cat > session.sh <<'S'
set -eu -o pipefail
/usr/sbin/tpm2-abrmd --session --allow-root --tcti="$TCTI" --logger=stdout > abrmd.log 2>&1 &
broker=$!
trap 'kill $broker; wait $broker' EXIT
export TPM2TOOLS_TCTI=tabrmd:bus_type=session
for _ in $(seq 100); do tpm2_getrandom --hex 4 >/dev/null 2>&1 && break; sleep 0.1; done
client() {
	mkdir "$1"
	cd "$1"
	echo "message of $1" > m
	tpm2_createprimary -Q -C o -G ecc -c p.ctx
	for k in 1 2 3; do
		tpm2_create -Q -C p.ctx -G ecc256:ecdsa -u $k.pub -r $k.priv
		tpm2_load -Q -C p.ctx -u $k.pub -r $k.priv -c $k.ctx
		tpm2_readpublic -Q -c $k.ctx -f pem -o $k.pem
	done
	for k in 3 1 2; do
		tpm2_sign -Q -c $k.ctx -g sha256 -f plain -o sig m
		openssl dgst -sha256 -verify $k.pem -signature sig m
	done
	echo -n "secret of $1" > s
	tpm2_createpolicy -Q --policy-pcr -l sha256:16 -L pol
	tpm2_create -Q -C p.ctx -L pol -i s -u s.pub -r s.priv
	tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c s.ctx
	tpm2_unseal -c s.ctx -p pcr:sha256:16 | cmp - s
}
clients=
for i in 1 2 3 4 5 6 7 8; do client $i & clients="$clients $!"; done
for p in $clients; do wait $p; done
S
dbus-run-session -- bash -x session.sh
tpm2_getcap handles-transient > left
[ ! -s left ]
