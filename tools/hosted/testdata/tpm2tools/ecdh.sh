primary
t tpm2_create -Q -C p.ctx -G ecc256:ecdh -u k.pub -r k.priv
t tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx
t tpm2_ecdhkeygen -c k.ctx -u eph -o z1
t tpm2_ecdhzgen -c k.ctx -u eph -o z2
cmp z1 z2
tpm2_geteccparameters ecc256 -o parms
