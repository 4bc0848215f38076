echo -n hush > s
primary
tpm2_pcrreset 16
t tpm2_createpolicy -Q --policy-pcr -l sha256:0,16 -L pol
t tpm2_create -Q -C p.ctx -L pol -i s -u s.pub -r s.priv
t tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c s.ctx
same "$(t tpm2_unseal -c s.ctx -p pcr:sha256:0,16)" hush
fails tpm2_unseal -c s.ctx
tpm2_pcrextend 16:sha256=$(sha256sum < s | cut -d' ' -f1)
fails tpm2_unseal -c s.ctx -p pcr:sha256:0,16
tpm2_pcrreset 16
same "$(t tpm2_unseal -c s.ctx -p pcr:sha256:0,16)" hush
# With a password, and the password changed.
t tpm2_create -Q -C p.ctx -p old -i s -u a.pub -r a.priv
t tpm2_load -Q -C p.ctx -u a.pub -r a.priv -c a.ctx
same "$(t tpm2_unseal -c a.ctx -p old)" hush
fails tpm2_unseal -c a.ctx -p wrong
t tpm2_changeauth -Q -C p.ctx -c a.ctx -p old -r b.priv new
t tpm2_load -Q -C p.ctx -u a.pub -r b.priv -c b.ctx
same "$(t tpm2_unseal -c b.ctx -p new)" hush
fails tpm2_unseal -c b.ctx -p old
