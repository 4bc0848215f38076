# packages: libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 seabios swtpm-tools libtss2-tcti-cmd0 xxd
# A virtual machine's whole life under libvirt, with the TPM in place of swtpm and
# Debian's swtpm_setup. libvirtd runs for an ordinary user, in a directory of its
# own; the machine's processor stays stopped, and what its guest would do with the
# TPM is done through its registers.
dir=$(mktemp -d /tmp/libvirt.XXXXXX) # short: of sockets below it
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/bin"
cp "$TPM_PROGRAM" "$dir/bin/swtpm"
cp "$TPM_TCTI" "$dir/tcti"
cp "$SCRIPTS/prelude.sh" "$dir"
chmod 755 "$dir" "$dir/bin" "$dir/bin/swtpm" "$dir/tcti"
chmod 644 "$dir/prelude.sh"
cat > "$dir/life.sh" <<'S'
. ./prelude.sh
export HOME=$PWD PATH=$PWD/bin:$PATH LC_ALL=C
# host NAME UUID starts a libvirtd with its files below NAME; at NAME takes it for
# the commands that follow.
daemons=
host() {
	mkdir -m 700 "$1" "$1/run" "$1/config" "$1/cache" "$1/data"
	at "$1"
	printf 'host_uuid="%s"\nlog_outputs="3:file:%s"\n' "$2" "$PWD/$1/log" > "$1/conf"
	/usr/sbin/libvirtd -f "$PWD/$1/conf" > "$1/out" 2>&1 &
	daemons="$daemons $!"
	until_true virsh list
}
at() {
	host=$PWD/$1
	export XDG_RUNTIME_DIR=$host/run XDG_CONFIG_HOME=$host/config XDG_CACHE_HOME=$host/cache XDG_DATA_HOME=$host/data
	export TPM2TOOLS_TCTI="cmd:$PWD/tcti $host/qtest"
	export LIBVIRT_DEFAULT_URI="qemu+unix:///session?socket=$host/run/libvirt/libvirt-sock"
}
end() {
	code=$?
	set +x
	for h in a b; do
		[ $code = 0 ] || tail -qn 3 $h/out $h/log $h/cache/libvirt/qemu/log/* || :
		at $h
		for d in plain sealed; do virsh destroy $d || :; done
	done > end.log 2>&1
	[ $code = 0 ] || cat end.log
	kill $daemons
	wait $daemons || :
	exit $code
}
trap end EXIT
host a 5ba0bd4c-0f0b-4d9c-8d0a-1f9f5a2d7d0a

# define NAME UUID MODEL [CHILD-OF-BACKEND]
define() {
	cat > "$1.xml" <<X
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
 <name>$1</name><uuid>$2</uuid><memory unit='MiB'>32</memory>
 <os><type arch='x86_64' machine='q35'>hvm</type></os>
 <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
  <tpm model='$3'><backend type='emulator' version='2.0'>${4-}</backend></tpm>
  <memballoon model='none'/></devices>
 <qemu:commandline><qemu:arg value='-qtest'/><qemu:arg value='unix:$host/qtest,server=on,wait=off'/>
  <qemu:arg value='-qtest-log'/><qemu:arg value='/dev/null'/></qemu:commandline>
</domain>
X
	virsh define "$1.xml"
	state=$host/config/libvirt/qemu/swtpm/$2/tpm2
}
# raw sends a command in hexadecimal digits and prints the response.
raw() { echo "$1" | xxd -r -p | ./tcti $host/qtest | xxd -p | tr -d '\n'; }

# begin leaves something in each place of the TPM's volatile state; go_on takes
# it all up again.
begin() {
	tpm2_pcrextend 5:sha256="$(echo "$RANDOM" | sha256sum | cut -d' ' -f1)"
	tpm2_pcrread sha256:5 > pcr.before
	tpm2_createprimary -Q -C o -G ecc -c p.ctx
	tpm2_flushcontext -t
	tpm2_createpolicy -Q --policy-pcr -l sha256:5 -L policy
	echo -n "secret $RANDOM" > secret
	tpm2_create -Q -C p.ctx -L policy -i secret -u s.pub -r s.priv
	tpm2_flushcontext -t
	tpm2_create -Q -C p.ctx -G ecc:ecdsa -p word -u k.pub -r k.priv
	tpm2_flushcontext -t
	tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c s.ctx
	tpm2_flushcontext -t
	tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx
	tpm2_readpublic -Q -c k.ctx -f pem -o k.pem
	tpm2_flushcontext -t
	tpm2_startauthsession -Q --policy-session -S policy.ctx
	tpm2_policypcr -Q -S policy.ctx -l sha256:5
	tpm2_startauthsession -Q --hmac-session -S hmac.ctx
	tpm2_sign -Q -c k.ctx -p session:hmac.ctx+word -g sha256 -o sig secret
	tpm2_flushcontext -t
	# An object and a sequence that stay loaded.
	tpm2_createprimary -Q -C o -G ecc -c p.ctx
	started=$(raw 80010000000e000001860000000b)
	sequence=${started:20:8}
	raw "8002000000220000015c${sequence}0000000940000009000000000000056669727374" | grep ^80020000001300000000
}
go_on() {
	tpm2_pcrread sha256:5 | cmp - pcr.before
	tpm2_getcap handles-transient | grep -c 0x8 | grep -x 2
	tpm2_readpublic -Q -c 0x80000000 -n name.after
	tpm2_readpublic -Q -c p.ctx -n name
	cmp name name.after
	raw "8002000000250000013e${sequence}0000000940000009000000000000046c61737440000007" > completed
	grep "$(echo -n firstlast | sha256sum | cut -d' ' -f1)" completed
	tpm2_flushcontext -t
	tpm2_unseal -c s.ctx -p session:policy.ctx | cmp - secret
	tpm2_flushcontext -t
	tpm2_sign -Q -c k.ctx -p session:hmac.ctx+word -g sha256 -f plain -o sig secret
	openssl dgst -sha256 -verify k.pem -signature sig secret
	tpm2_flushcontext -t
	tpm2_flushcontext hmac.ctx
	tpm2_flushcontext policy.ctx
}
# pid prints the number of a domain's TPM process, if there is one.
pid() { cat $host/run/libvirt/qemu/run/swtpm/*-"$1"-swtpm.pid; }
# life NAME: one domain from its first start to its end.
life() {
	virsh start --paused "$1"
	tpm2_startup -c
	tpm2_getcap handles-persistent | grep 0x81010001 # of swtpm_setup
	tpm2_nvread -C p -o ek.der 0x1c00002
	tpm2_readpublic -Q -c 0x81010001 -f pem -o ek.pem
	openssl x509 -inform der -in ek.der -noout -pubkey | cmp - ek.pem
	begin
	virsh save "$1" "$1.saved"
	fails pid "$1" # nothing runs any more
	virsh restore --paused "$1.saved"
	go_on
	begin
	virsh managedsave "$1"
	virsh start --paused "$1"
	go_on
	# A reset and a loss of power are both that of the TPM.
	tpm2_createprimary -Q -C o -G ecc -c p.ctx
	tpm2_evictcontrol -Q -C o -c p.ctx 0x81000020
	tpm2_readpublic -Q -c 0x81000020 -n name
	virsh reset "$1"
	tpm2_startup -c
	tpm2_pcrread sha256:5 | grep -E '5 *: 0x0{64}$'
	begin
	virsh destroy "$1"
	virsh start --paused "$1"
	tpm2_startup -c
	tpm2_pcrread sha256:5 | grep -E '5 *: 0x0{64}$'
	tpm2_readpublic -Q -c 0x81000020 -n name.after
	cmp name name.after
	begin
	# The TPM's own process is lost: the machine goes on without, and starts again.
	kill -9 "$(pid "$1")"
	fails timeout 5 tpm2_getrandom --hex 8
	virsh destroy "$1"
	virsh start --paused "$1"
	tpm2_startup -c
	tpm2_readpublic -Q -c 0x81000020 -n name.after
	cmp name name.after
	virsh destroy "$1"
}

# move NAME: a migration to host b and back.
move() {
	virsh start --paused "$1"
	tpm2_startup -c
	tpm2_dictionarylockout -c # libtpms counts a loss of power as a failed try
	begin
	for to in b a; do
		virsh dumpxml --migratable "$1" | sed "s,$host/qtest,$PWD/$to/qtest," > moved.xml
		virsh migrate --p2p --persistent --undefinesource --xml moved.xml --persistent-xml moved.xml \
			--desturi "qemu+unix:///session?socket=$PWD/$to/run/libvirt/libvirt-sock" --migrateuri "unix://$PWD/migration.$to" "$1"
		at $to
		go_on
		begin
	done
	virsh destroy "$1"
}

host b 5ba0bd4c-0f0b-4d9c-8d0a-1f9f5a2d7d0b
at a
define plain 5ba0bd4c-0f0b-4d9c-8d0a-1f9f5a2d7d01 tpm-crb
life plain
# A state that another process has is not started on, and the log says why.
swtpm socket --tpm2 --tpmstate dir="$state" --ctrl type=unixio,path="$PWD/held" --flags not-need-init --terminate > held.log 2>&1 &
holder=$!
until_true test -S held
fails virsh start --paused plain
grep -e 'in use by another process' -e 'Could not initialize' $host/cache/libvirt/qemu/log/plain-swtpm.log
kill $holder
wait $holder || :
move plain
virsh undefine plain
[ ! -e "$state" ]

secret=5ba0bd4c-0f0b-4d9c-8d0a-1f9f5a2d7d02
cat > secret.xml <<X
<secret ephemeral='no' private='yes'><uuid>$secret</uuid><usage type='vtpm'><name>sealed</name></usage></secret>
X
for h in b a; do
	at $h
	virsh secret-define secret.xml
	virsh secret-set-value $secret --base64 "$(echo -n 'a pass phrase' | base64)"
done
define sealed 5ba0bd4c-0f0b-4d9c-8d0a-1f9f5a2d7d03 tpm-tis "<encryption secret='$secret'/>"
life sealed
# Another secret opens nothing and changes nothing.
sha256sum "$state"/*.permall > sum
virsh secret-set-value $secret --base64 "$(echo -n 'another' | base64)"
fails virsh start --paused sealed
sha256sum -c sum
virsh secret-set-value $secret --base64 "$(echo -n 'a pass phrase' | base64)"
virsh start --paused sealed
tpm2_startup -c
tpm2_readpublic -Q -c 0x81000020 -n name.after
cmp name name.after
virsh destroy sealed
move sealed
virsh undefine sealed
[ ! -e "$state" ]
S
chmod 644 "$dir/life.sh"
cd "$dir"
if [ "$(id -u)" = 0 ]; then # libvirtd of root is the system's
	chown 65534:65534 "$dir"
	setpriv --reuid 65534 --regid 65534 --clear-groups bash -x life.sh
else
	bash -x life.sh
fi
