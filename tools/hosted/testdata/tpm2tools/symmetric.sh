needs HMAC Import
primary
t tpm2_create -Q -C p.ctx -G aes128cfb -u k.pub -r k.priv
t tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx
head -c 48 /dev/urandom > m; head -c 16 /dev/zero > iv
t tpm2_encryptdecrypt -Q -c k.ctx -t iv -o c m
t tpm2_encryptdecrypt -Q -d -c k.ctx -t iv -o d c
cmp m d
fails cmp m c
# The same as openssl, with a key that both know.
head -c 16 /dev/urandom > key
t tpm2_import -Q -C p.ctx -G aes -i key -u i.pub -r i.priv
t tpm2_load -Q -C p.ctx -u i.pub -r i.priv -c i.ctx
t tpm2_encryptdecrypt -Q -c i.ctx -G cfb -t iv -o c m
openssl enc -aes-128-cfb -K $(xxd -p -c 32 key) -iv $(xxd -p -c 32 iv) -in m -out o
cmp c o
