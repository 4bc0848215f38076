# packages: tpm2-openssl
# OpenSSL with its keys in the TPM; the other side is always OpenSSL's own code.
export TPM2OPENSSL_TCTI=$TCTI
tpm="-provider tpm2 -provider base"
both="-provider tpm2 -provider default -propquery ?provider=tpm2"
echo message > m
echo other > other
[ "$(openssl rand $tpm -hex 16)" != "$(openssl rand $tpm -hex 16)" ]

openssl genpkey $tpm -algorithm RSA -pkeyopt bits:2048 -out rsa.pem
openssl genpkey $tpm -algorithm EC -pkeyopt group:P-256 -out ec256.pem
openssl genpkey $tpm -algorithm EC -pkeyopt group:P-384 -out ec384.pem
openssl genpkey $tpm -algorithm RSA-PSS -pkeyopt bits:2048 -pkeyopt digest:SHA256 -out pss.pem
for k in rsa pss ec256 ec384; do
	grep 'BEGIN TSS2 PRIVATE KEY' $k.pem
	openssl pkey $tpm -in $k.pem -pubout -out $k.pub
	openssl dgst $both -sha256 -sign $k.pem -out dgst.sig m
	openssl pkeyutl $tpm -sign -rawin -digest sha256 -inkey $k.pem -in m -out pkeyutl.sig
	for s in dgst pkeyutl; do
		openssl dgst -sha256 -verify $k.pub -signature $s.sig m
		fails openssl dgst -sha256 -verify $k.pub -signature $s.sig other
	done
done
openssl pkeyutl $tpm -sign -rawin -digest sha256 -inkey rsa.pem -in m -pkeyopt pad-mode:pss -out pss.sig
openssl dgst -sha256 -verify rsa.pub -sigopt rsa_padding_mode:pss -signature pss.sig m

openssl pkeyutl -encrypt -pubin -inkey rsa.pub -in m -out enc
openssl pkeyutl $tpm -decrypt -inkey rsa.pem -in enc | cmp - m

for c in 256:prime256v1 384:secp384r1; do
	openssl ecparam -name ${c#*:} -genkey -noout -out peer.pem
	openssl pkey -in peer.pem -pubout -out peer.pub
	openssl pkeyutl $tpm -derive -inkey ec${c%:*}.pem -peerkey peer.pub -out z1
	openssl pkeyutl -derive -inkey peer.pem -peerkey ec${c%:*}.pub -out z2
	cmp z1 z2
done

# A certificate request, a certificate, a server of TLS and a client that
# authenticates itself.
for k in rsa ec256; do
	openssl req $both -new -key $k.pem -subj "/CN=$k" -out csr
	openssl req -in csr -noout -verify
	openssl req $both -x509 -key $k.pem -subj "/CN=$k" -days 1 -out $k.crt
	openssl verify -CAfile $k.crt $k.crt
done
cat rsa.crt ec256.crt > ca.crt
for pair in rsa:ec256 ec256:rsa; do
	rm -f tls
	openssl s_server $both -unix tls -naccept 1 -key ${pair%:*}.pem -cert ${pair%:*}.crt -CAfile ca.crt -Verify 1 -verify_return_error -rev > server.log 2>&1 &
	until_true test -S tls
	(echo hello; sleep 1) | openssl s_client $both -unix tls -key ${pair#*:}.pem -cert ${pair#*:}.crt -CAfile ca.crt -verify_return_error > client.log 2>&1
	grep 'Verify return code: 0 (ok)' client.log
	grep olleh client.log
	wait
done
