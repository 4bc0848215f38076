needs Import Duplicate
primary
openssl genrsa -out r.pem 2048 2>/dev/null
t tpm2_import -Q -C p.ctx -G rsa -i r.pem -u r.pub -r r.priv
t tpm2_load -Q -C p.ctx -u r.pub -r r.priv -c r.ctx
echo hello > m
t tpm2_sign -Q -c r.ctx -g sha256 -s rsassa -f plain -o sig m
openssl rsa -in r.pem -pubout -out r.pubpem 2>/dev/null
openssl dgst -sha256 -verify r.pubpem -signature sig m
openssl ecparam -name prime256v1 -genkey -noout -out e.pem
t tpm2_import -Q -C p.ctx -G ecc -i e.pem -u e.pub -r e.priv
t tpm2_load -Q -C p.ctx -u e.pub -r e.priv -c e.ctx
head -c 16 /dev/urandom > aes
t tpm2_import -Q -C p.ctx -G aes -i aes -u s.pub -r s.priv
t tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c s.ctx
# Duplication from one parent to another.
t tpm2_createprimary -Q -C o -G rsa -c n.ctx
tpm2_startauthsession -S dup.ctx
tpm2_policycommandcode -Q -S dup.ctx -L dup.pol TPM2_CC_Duplicate
tpm2_flushcontext dup.ctx
t tpm2_create -Q -C p.ctx -G ecc -p kp -L dup.pol -a 'sensitivedataorigin|userwithauth|sign' -u k.pub -r k.priv
t tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx
tpm2_startauthsession --policy-session -S dup.ctx
tpm2_policycommandcode -Q -S dup.ctx TPM2_CC_Duplicate
t tpm2_duplicate -Q -C n.ctx -c k.ctx -G null -p session:dup.ctx -r k.dup -s k.seed
tpm2_flushcontext dup.ctx
t tpm2_import -Q -C n.ctx -u k.pub -i k.dup -s k.seed -r k2.priv
t tpm2_load -Q -C n.ctx -u k.pub -r k2.priv -c k2.ctx
t tpm2_sign -Q -c k2.ctx -p kp -g sha256 -o sig m
t tpm2_verifysignature -Q -c k.ctx -g sha256 -s sig -m m
