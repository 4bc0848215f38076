echo -n secret > m
primary rsa
t tpm2_create -Q -C p.ctx -G rsa2048 -u k.pub -r k.priv
t tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx
t tpm2_readpublic -Q -c k.ctx -f pem -o k.pem
for s in rsaes oaep; do
	t tpm2_rsaencrypt -c k.ctx -s $s -o c m
	t tpm2_rsadecrypt -c k.ctx -s $s -o d c
	same "$(cat d)" secret
done
openssl pkeyutl -encrypt -pubin -inkey k.pem -in m -out c
t tpm2_rsadecrypt -c k.ctx -s rsaes -o d c
same "$(cat d)" secret
openssl pkeyutl -encrypt -pubin -inkey k.pem -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -in m -out c
t tpm2_rsadecrypt -c k.ctx -s oaep -o d c
same "$(cat d)" secret
flip c 20
fails tpm2_rsadecrypt -c k.ctx -s oaep -o d c
