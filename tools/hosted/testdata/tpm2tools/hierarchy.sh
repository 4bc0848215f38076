tpm2_changeauth -Q -c o ownerpass
fails tpm2_createprimary -Q -C o -c x.ctx
t tpm2_createprimary -Q -C o -P ownerpass -c x.ctx
tpm2_changeauth -Q -c e endopass
tpm2_changeauth -Q -c l lockpass
tpm2_nvdefine -Q 0x1500004 -C o -P ownerpass -s 8
t tpm2_evictcontrol -Q -C o -P ownerpass -c x.ctx 0x81000001
t tpm2_readpublic -Q -c x.ctx -n n1
tpm2_clear -Q -c l lockpass
# All of the owner's is gone, with the seed.
same "$(tpm2_getcap handles-persistent)" ""
same "$(tpm2_getcap handles-nv-index)" ""
t tpm2_createprimary -Q -C o -c y.ctx
t tpm2_readpublic -Q -c y.ctx -n n2
fails cmp n1 n2
tpm2_clearcontrol -Q -C l s
fails tpm2_clear -Q
tpm2_clearcontrol -Q -C p c
tpm2_clear -Q -c p
t tpm2_hierarchycontrol -Q -C p shEnable clear
fails tpm2_createprimary -Q -C o -c z.ctx
t tpm2_hierarchycontrol -Q -C p shEnable set
t tpm2_createprimary -Q -C o -c z.ctx
tpm2_changepps -Q
tpm2_changeeps -Q
tpm2_setprimarypolicy -Q -C o
