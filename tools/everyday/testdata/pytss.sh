# packages: python3-tpm2-pytss python3-cryptography libtss2-fapi1
/usr/bin/python3 "$SCRIPTS/pytss.py" "$TCTI"
tpm2_pcrreset 16
/usr/bin/python3 "$SCRIPTS/pytss_rare.py" "$TCTI"
