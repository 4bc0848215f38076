# packages: libtpm2-pkcs11-1 libtpm2-pkcs11-tools opensc openssh-client
# A token of PKCS #11: made by tpm2_ptool, used by OpenSC and by SSH.
export TPM2_PKCS11_TCTI=$TCTI TPM2_PKCS11_STORE=$PWD/store TPM2_PKCS11_BACKEND=esysdb TPM2_PKCS11_LOG_LEVEL=0
module=$(ls /usr/lib/*/libtpm2_pkcs11.so.1)
mkdir store
tpm2_ptool init
tpm2_ptool addtoken --pid=1 --sopin=sopin --userpin=old --label=token
tpm2_ptool changepin --label=token --user=user --old=old --new=userpin
for k in rsa2048 ecc256; do
	tpm2_ptool addkey --algorithm=$k --label=token --key-label=$k --userpin=userpin --id=$(echo -n $k | xxd -p)
done
id() { echo -n "$(echo -n $1 | xxd -p)" | xxd -p -c 99; } # the tool takes its --id as text
token() { pkcs11-tool --module "$module" --token-label token --login --pin userpin "$@"; }
fails pkcs11-tool --module "$module" --token-label token --login --pin old --list-objects
token --keypairgen --key-type EC:prime256v1 --label fresh --id 04
token --list-objects > objects
for k in rsa2048 ecc256 fresh; do grep "label: *$k" objects; done

echo message > m
openssl dgst -sha256 -binary m > digest
token --read-object --type pubkey --id $(id rsa2048) -o rsa.der
openssl pkey -pubin -inform der -in rsa.der -out rsa.pub
for p in SHA256-RSA-PKCS: SHA256-RSA-PKCS-PSS:rsa_padding_mode:pss; do
	token --sign --id $(id rsa2048) -m ${p%%:*} -i m -o sig
	opt=${p#*:}
	openssl dgst -sha256 -verify rsa.pub ${opt:+-sigopt $opt} -signature sig m
done
token --verify --id $(id rsa2048) -m SHA256-RSA-PKCS-PSS -i m --signature-file sig | grep "Signature is valid"
token --verify --id $(id rsa2048) -m SHA256-RSA-PKCS -i m --signature-file sig 2>&1 | grep "Invalid signature"
openssl pkeyutl -encrypt -pubin -inkey rsa.pub -in m -out enc
token --decrypt --id $(id rsa2048) -m RSA-PKCS -i enc -o dec
cmp dec m
for i in $(id ecc256) 04; do
	token --read-object --type pubkey --id $i -o ec.der
	openssl pkey -pubin -inform der -in ec.der -out ec.pub
	token --sign --id $i -m ECDSA -i digest -o sig --signature-format openssl
	openssl dgst -sha256 -verify ec.pub -signature sig m
done
[ "$(token --generate-random 16 | xxd -p)" != "$(token --generate-random 16 | xxd -p)" ]

# SSH: the public keys, and a signature by an agent that has the token.
ssh-keygen -D "$module" > ssh.pub
[ "$(cut -d' ' -f1 ssh.pub | sort | tr '\n' ' ')" = "ecdsa-sha2-nistp256 ecdsa-sha2-nistp256 ssh-rsa " ]
ssh-keygen -i -m PKCS8 -f rsa.pub > rsa.ssh
[ "$(cut -d' ' -f2 rsa.ssh)" = "$(grep ^ssh-rsa ssh.pub | cut -d' ' -f2)" ]
printf '#!/bin/sh\necho userpin\n' > ask
chmod +x ask
eval "$(ssh-agent -P "$(readlink -f "$module")")"
trap 'kill $SSH_AGENT_PID' EXIT
SSH_ASKPASS=$PWD/ask SSH_ASKPASS_REQUIRE=force ssh-add -s "$module"
ssh-add -L > agent.pub
for kind in ssh-rsa ecdsa-sha2-nistp256; do
	grep "^$kind" agent.pub | head -1 > key.pub
	echo "user $(cat key.pub)" > allowed
	rm -f m.sig
	ssh-keygen -Y sign -f key.pub -n file m
	ssh-keygen -Y verify -f allowed -I user -n file -s m.sig < m
	fails bash -c 'ssh-keygen -Y verify -f allowed -I user -n file -s m.sig < ask'
done
