echo message > m
primary
for k in ecc256:ecdsa ecc384:ecdsa rsa2048:rsassa rsa2048:rsapss; do
	t tpm2_create -Q -C p.ctx -G ${k%%:*} -u k.pub -r k.priv
	t tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx
	for h in sha256 sha384; do
		t tpm2_sign -Q -c k.ctx -g $h -s ${k##*:} -o sig m
		t tpm2_verifysignature -Q -c k.ctx -g $h -s sig -m m
		echo other > o
		fails tpm2_verifysignature -Q -c k.ctx -g $h -s sig -m o
		t tpm2_sign -Q -c k.ctx -g $h -s ${k##*:} -f plain -o sig.plain m
		t tpm2_readpublic -Q -c k.ctx -f pem -o k.pem
		case $k in
		*rsapss) openssl dgst -$h -verify k.pem -sigopt rsa_padding_mode:pss -signature sig.plain m ;;
		*) openssl dgst -$h -verify k.pem -signature sig.plain m ;;
		esac
	done
done
# A signature that openssl made.
openssl ecparam -name prime256v1 -genkey -noout -out o.pem
openssl ec -in o.pem -pubout -out o.pub 2>/dev/null
openssl dgst -sha256 -sign o.pem -out o.sig m
t tpm2_loadexternal -Q -C n -G ecc -u o.pub -c o.ctx
t tpm2_verifysignature -Q -c o.ctx -g sha256 -m m -f ecdsa -s o.sig
