needs GetSessionAuditDigest GetCommandAuditDigest
primary
# Sessions that encrypt parameters, salted by the primary key.
for s in --hmac-session --policy-session; do
	tpm2_startauthsession $s -c p.ctx -S s.ctx; tpm2_flushcontext -t
	tpm2_sessionconfig s.ctx --enable-encrypt --enable-decrypt
	tpm2_sessionconfig s.ctx | grep encrypt >/dev/null
	tpm2_getrandom --hex -S s.ctx 16 >/dev/null
	tpm2_flushcontext s.ctx
done
tpm2_startauthsession --hmac-session -S s.ctx
t tpm2_create -Q -C p.ctx -P session:s.ctx -G ecc -u k.pub -r k.priv
t tpm2_load -Q -C p.ctx -P session:s.ctx -u k.pub -r k.priv -c k.ctx
tpm2_flushcontext s.ctx
tpm2_startauthsession --audit-session -S a.ctx
tpm2_getrandom -S a.ctx --hex 8 >/dev/null
t tpm2_create -Q -C p.ctx -G ecc:ecdsa -u q.pub -r q.priv
t tpm2_load -Q -C p.ctx -u q.pub -r q.priv -c q.ctx
t tpm2_getsessionauditdigest -Q -c q.ctx -g sha256 -m att -s sig -S a.ctx
tpm2_flushcontext a.ctx
