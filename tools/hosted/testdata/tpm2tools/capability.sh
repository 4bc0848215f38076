tpm2_getcap properties-fixed | grep 'TPM2_PT_FAMILY_INDICATOR' >/dev/null
tpm2_getcap properties-variable | grep 'inLockout' >/dev/null
tpm2_getcap algorithms | grep '^sha256' >/dev/null
tpm2_getcap commands | grep 'TPM2_CC_CreatePrimary' >/dev/null
tpm2_getcap ecc-curves | grep 'NIST_P256' >/dev/null
tpm2_getcap pcrs | grep 'sha256' >/dev/null
tpm2_getcap handles-persistent
tpm2_getcap handles-transient
tpm2_getcap handles-pcr | grep '0x17' >/dev/null
tpm2_getcap handles-permanent | grep '0x40000001' >/dev/null
tpm2_selftest -f
tpm2_gettestresult | grep success >/dev/null
tpm2_incrementalselftest aes sha256 >/dev/null
tpm2_readclock | grep 'reset_count' >/dev/null
tpm2_testparms ecc256:ecdsa rsa2048
fails tpm2_testparms rsa512
