head -c 5000 /dev/zero > big
for a in sha1 sha256 sha384 sha512; do
	tpm2_hash -g $a --hex -o h big; same "$(cat h)" "$(${a}sum big | cut -d' ' -f1)"
	echo -n small > small
	tpm2_hash -g $a --hex -o h small; same "$(cat h)" "$(${a}sum small | cut -d' ' -f1)"
done
primary
t tpm2_create -Q -C p.ctx -G hmac -u h.pub -r h.priv
t tpm2_load -Q -C p.ctx -u h.pub -r h.priv -c h.ctx
t tpm2_hmac -c h.ctx --hex small > a; t tpm2_hmac -c h.ctx --hex small > b; t tpm2_hmac -c h.ctx --hex big > c
same "$(cat a)" "$(cat b)"
[ "$(cat a)" != "$(cat c)" ]
