for a in ecc rsa; do
	t tpm2_createek -Q -c 0x81010001 -G $a -u ek.pub
	tpm2_createak -Q -C 0x81010001 -c ak.ctx -G $a -g sha256 -s $([ $a = ecc ] && echo ecdsa || echo rsassa) -u ak.pem -f pem -n ak.name
	tpm2_flushcontext -t; tpm2_flushcontext -l
	t tpm2_quote -Q -c ak.ctx -l sha256:0,1,2+sha1:3 -q abc123 -m q.msg -s q.sig -o q.pcr -g sha256
	tpm2_checkquote -Q -u ak.pem -m q.msg -s q.sig -f q.pcr -g sha256 -q abc123
	fails tpm2_checkquote -Q -u ak.pem -m q.msg -s q.sig -f q.pcr -g sha256 -q abc124
	tpm2_print -t TPMS_ATTEST q.msg | grep 'magic: ff544347' >/dev/null
	t tpm2_evictcontrol -Q -C o -c 0x81010001
done
