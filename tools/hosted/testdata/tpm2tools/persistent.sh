primary
t tpm2_evictcontrol -Q -C o -c p.ctx 0x81000001
tpm2_getcap handles-persistent | grep 0x81000001 >/dev/null
t tpm2_readpublic -c 0x81000001 -n n1 -Q
t tpm2_readpublic -c p.ctx -n n2 -Q
cmp n1 n2
fails tpm2_evictcontrol -Q -C o -c p.ctx 0x81000001
t tpm2_create -Q -C 0x81000001 -G ecc -u k.pub -r k.priv
t tpm2_load -Q -C 0x81000001 -u k.pub -r k.priv -c k.ctx
t tpm2_evictcontrol -Q -C o -c 0x81000001
fails tpm2_readpublic -c 0x81000001
# The same template gives the same primary key.
primary; t tpm2_readpublic -Q -c p.ctx -n n3; cmp n1 n3
