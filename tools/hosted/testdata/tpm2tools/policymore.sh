# Policies of the clock, of names and templates; tickets; a restart.
echo -n v > s
primary
seal() { t tpm2_create -Q -C p.ctx -L pol -i s -u s.pub -r s.priv; t tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c s.ctx; }
digest() { tpm2_startauthsession -S tr.ctx; "$@" tr.ctx; tpm2_flushcontext tr.ctx; }
use() {
	tpm2_startauthsession --policy-session -S se.ctx
	local rc=0
	"$@" se.ctx && tpm2_unseal -c s.ctx -p session:se.ctx || rc=$?
	tpm2_flushcontext se.ctx; tpm2_flushcontext -t
	return $rc
}
counter() { tpm2_policycountertimer -Q -S $1 -L pol --ult clock=100000000000; }
digest counter; seal
same "$(use counter)" v
early() { tpm2_policycountertimer -Q -S $1 -L pol --ugt clock=100000000000; }
tpm2_startauthsession -S tr.ctx; early tr.ctx; tpm2_flushcontext tr.ctx
fails use early

twice() { tpm2_policycommandcode -Q -S $1 TPM2_CC_Sign; tpm2_policyrestart -S $1; tpm2_policycommandcode -Q -S $1 -L pol TPM2_CC_Unseal; }
digest twice; seal
same "$(use twice)" v

# Signed by a key of somebody else.
openssl genrsa -out a.pem 2048 2>/dev/null
openssl rsa -in a.pem -pubout -out a.pub 2>/dev/null
t tpm2_loadexternal -Q -C o -G rsa -u a.pub -c a.ctx -n a.name
signed() {
	tpm2_policysigned -Q -S $1 -g sha256 -c a.ctx -L pol -t 0 --raw-data to-sign
	openssl dgst -sha256 -sign a.pem -out sig to-sign
	tpm2_policysigned -Q -S $1 -g sha256 -s sig -f rsassa -c a.ctx -L pol
}
digest signed; seal
same "$(use signed)" v

# A ticket stands for an authorization in another session, until it is over.
secret() { tpm2_policysecret -Q -S $1 -c o -L pol; }
digest secret; seal
tpm2_startauthsession --policy-session -S se.ctx
tpm2_policysecret -Q -S se.ctx -c o --nonce-tpm --expiration=-3600 --ticket tk --timeout to
tpm2_flushcontext se.ctx
printf '\100\0\0\1' > owner.name
ticket() { tpm2_policyticket -Q -S $1 -n owner.name --ticket tk --timeout to; }
same "$(use ticket)" v
printf '\100\0\0\14' > owner.name
fails use ticket

# Only this template, only these names.
template() { tpm2_policytemplate -Q -S $1 -L pol --template-hash th; }
t tpm2_createprimary -Q -C o -G ecc --template-data tmpl -c x.ctx
openssl dgst -sha256 -binary tmpl > th
digest template
(head -c 32 /dev/zero; printf '\0\0\1\220'; cat th) | openssl dgst -sha256 -binary | cmp - pol
t tpm2_readpublic -Q -c p.ctx -n p.name
openssl dgst -sha256 -binary p.name > nh
names() { tpm2_policynamehash -Q -S $1 -L pol -n nh; }
digest names
(head -c 32 /dev/zero; printf '\0\0\1\160'; cat nh) | openssl dgst -sha256 -binary | cmp - pol
