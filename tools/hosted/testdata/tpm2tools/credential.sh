needs MakeCredential ActivateCredential
for a in ecc rsa; do
	t tpm2_createek -Q -c 0x81010001 -G $a -u ek.pub
	tpm2_createak -Q -C 0x81010001 -c ak.ctx -G $a -g sha256 -s $([ $a = ecc ] && echo ecdsa || echo rsassa) -u ak.pem -f pem -n ak.name
	tpm2_flushcontext -t; tpm2_flushcontext -l
	echo -n 0123456789abcdef > cred
	t tpm2_makecredential -Q -e ek.pub -s cred -n $(xxd -p -c 100 ak.name) -o blob
	tpm2_startauthsession --policy-session -S s.ctx
	tpm2_policysecret -Q -S s.ctx -c e
	t tpm2_activatecredential -Q -c ak.ctx -C 0x81010001 -i blob -o got -P session:s.ctx
	tpm2_flushcontext s.ctx
	cmp cred got
	t tpm2_evictcontrol -Q -C o -c 0x81010001
done
