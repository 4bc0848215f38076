primary
for k in a b; do
	t tpm2_create -Q -C p.ctx -G ecc:ecdsa-sha256 -u $k.pub -r $k.priv
	t tpm2_load -Q -C p.ctx -u $k.pub -r $k.priv -c $k.ctx
done
t tpm2_readpublic -Q -c b.ctx -f pem -o b.pem
t tpm2_certify -Q -c a.ctx -C b.ctx -g sha256 -o att -s sig -f plain
openssl dgst -sha256 -verify b.pem -signature sig att
t tpm2_create -Q -C p.ctx -G ecc -u c.pub -r c.priv --creation-data c.dat -t c.tk -d c.hash
t tpm2_load -Q -C p.ctx -u c.pub -r c.priv -c c.ctx
t tpm2_certifycreation -Q -C b.ctx -c c.ctx -d c.hash -t c.tk -g sha256 -o csig --attestation catt -f plain -s ecdsa
openssl dgst -sha256 -verify b.pem -signature csig catt
t tpm2_gettime -Q -c b.ctx -g sha256 -o tsig --attestation tatt -q 1234 -f plain
openssl dgst -sha256 -verify b.pem -signature tsig tatt
i=0x1500002
printf 12345678 > d
tpm2_nvdefine -Q $i -C o -s 8 -a 'ownerread|ownerwrite|authread'
tpm2_nvwrite -Q $i -C o -i d
t tpm2_nvcertify -Q -C b.ctx -c o -g sha256 -f plain -o nsig --attestation natt --size 8 $i
openssl dgst -sha256 -verify b.pem -signature nsig natt
