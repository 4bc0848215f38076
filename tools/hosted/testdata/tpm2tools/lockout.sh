tpm2_dictionarylockout -Q --setup-parameters --max-tries=3 --recovery-time=1000 --lockout-recovery-time=1000
echo -n v > s
primary
t tpm2_create -Q -C p.ctx -p right -i s -a 'fixedtpm|fixedparent|userwithauth' -u s.pub -r s.priv
t tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c s.ctx
# The first use of a key with protection may ask to try again.
t tpm2_unseal -c s.ctx -p right >/dev/null || t tpm2_unseal -c s.ctx -p right >/dev/null
for n in 1 2 3; do fails tpm2_unseal -c s.ctx -p wrong; done
tpm2_getcap properties-variable | grep 'inLockout: *1' >/dev/null
fails tpm2_unseal -c s.ctx -p right
tpm2_dictionarylockout -Q --clear-lockout
same "$(t tpm2_unseal -c s.ctx -p right)" v
