echo -n v > s
primary
digest() { # of a trial session with the given policy commands
	tpm2_startauthsession -S tr.ctx
	"$@" tr.ctx
	tpm2_flushcontext tr.ctx
}
use() { # SCRIPT: unseal under a real session
	tpm2_startauthsession --policy-session -S se.ctx
	local rc=0
	"$@" se.ctx && tpm2_unseal -c s.ctx -p session:se.ctx"${pw:+"+$pw"}" || rc=$?
	tpm2_flushcontext se.ctx; tpm2_flushcontext -t
	return $rc
}
seal() { t tpm2_create -Q -C p.ctx -L pol -i s "$@" -u s.pub -r s.priv; t tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c s.ctx; }

authvalue() { tpm2_policyauthvalue -Q -S $1 -L pol; }
digest authvalue; seal -p pass
pw=pass; same "$(use authvalue)" v; pw=bad; fails use authvalue; pw=

password() { tpm2_policypassword -Q -S $1 -L pol; }
digest password; seal -p pass
pw=pass; same "$(use password)" v; pw=

secret() { tpm2_policysecret -Q -S $1 -c o -L pol ${ownerpw:-}; }
digest secret; seal
same "$(use secret)" v
tpm2_changeauth -Q -c o ow
ownerpw=bad; fails use secret; ownerpw=ow; same "$(use secret)" v
tpm2_changeauth -Q -c o -p ow
ownerpw=

code() { tpm2_policycommandcode -Q -S $1 -L pol TPM2_CC_Unseal; }
digest code; seal
same "$(use code)" v

either() {
	tpm2_policycommandcode -Q -S $1 -L x1 TPM2_CC_Unseal
	tpm2_policyor -Q -S $1 -L pol sha256:x1,x2
}
head -c 32 /dev/zero > x2
digest either; seal
same "$(use either)" v

locality() { tpm2_policylocality -Q -S $1 -L pol zero; }
digest locality; seal
same "$(use locality)" v
locality1() { tpm2_policylocality -Q -S $1 -L pol one; }
digest locality1; seal
fails use locality1

# A policy signed by a key.
openssl ecparam -name prime256v1 -genkey -noout -out a.pem
openssl ec -in a.pem -pubout -out a.pub 2>/dev/null
t tpm2_loadexternal -Q -C o -G ecc -u a.pub -c a.ctx -n a.name
authorize() { tpm2_policyauthorize -Q -S $1 -L pol -i app -n a.name ${ticket:+-t ticket}; }
tpm2_startauthsession -S tr.ctx; tpm2_policypcr -Q -S tr.ctx -l sha256:16 -L app; tpm2_flushcontext tr.ctx
openssl dgst -sha256 -sign a.pem -out app.sig app
digest authorize; cp pol auth.pol; seal
t tpm2_verifysignature -Q -c a.ctx -g sha256 -m app -s app.sig -f ecdsa -t ticket
ticket=1
signed() { tpm2_policypcr -Q -S $1 -l sha256:16; authorize $1; }
same "$(use signed)" v

# What the TPM says of an NV index.
i=0x1500003
tpm2_nvdefine -Q $i -C o -s 1 -a 'ownerread|ownerwrite|authread|authwrite|policywrite'
printf '\005' > five; printf '\004' > four
tpm2_nvwrite -Q $i -C o -i five
nv() { tpm2_policynv -Q -S $1 -L pol -i four -C o $i ugt; }
digest nv; seal
same "$(use nv)" v
tpm2_nvwrite -Q $i -C o -i four
fails use nv
