# Command audit: what the TPM signs is the digest computed here.
primary
t tpm2_create -Q -C p.ctx -G ecc:ecdsa-sha256 -u k.pub -r k.priv
t tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx
hash() { openssl dgst -sha256 -binary; }
tpm2_getrandom --cphash cp 8
# The tool sets the algorithm and then the list. Setting the list is always
# audited; changing the algorithm clears the digest and is not.
tpm2_setcommandauditstatus -C o -g sha384 TPM2_CC_GetRandom
tpm2_setcommandauditstatus -C o -g sha256 TPM2_CC_GetRandom
tpm2_getrandom -o random 8
t tpm2_getcommandauditdigest -Q -c k.ctx -g sha256 -q 1234 -m att -s sig
t tpm2_verifysignature -Q -c k.ctx -g sha256 -m att -s sig
# cpHash of command code, name of the owner and parameters, and rpHash of response
# code, command code and parameters.
list='\0\0\1\100\100\0\0\1\0\13\0\0\0\1\0\0\1\173\0\0\0\0'
(head -c 32 /dev/zero; printf "$list" | hash; printf '\0\0\0\0\0\0\1\100' | hash) | hash > d
(cat d; tail -c 32 cp; (printf '\0\0\0\0\0\0\1\173\0\10'; cat random) | hash) | hash > d.next
xxd -p -c 9999 att | grep "$(xxd -p -c 99 d.next)" >/dev/null
tpm2_setcommandauditstatus -C o -g sha256 --clear-list TPM2_CC_GetRandom
