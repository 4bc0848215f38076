package scenario

import (
	"context"

	"stubtpm/tools/xenlab/lab"
)

// Everyday runs those commands of tpm2-tools in a guest that Story does not use. The
// last one is TPM2_Clear.
func (s *Stack) Everyday(ctx context.Context, r Report, g *lab.Guest) error {
	return guest{g, r}.steps(ctx, everyday)
}

var everyday = []guestStep{
	{
		title: "a hash is that of sha256sum",
		script: `printf abc >abc
test "$(tpm2_hash -g sha256 --hex abc)" = "$(sha256sum <abc | cut -c1-64)"; echo equal`,
		want: "equal",
	},
	{
		title: "an RSA key encrypts, decrypts and signs",
		script: `tpm2_createprimary -C o -c p.ctx -Q
tpm2_create -C p.ctx -G rsa2048 -u k.pub -r k.priv -Q; flush
tpm2_load -C p.ctx -u k.pub -r k.priv -c k.ctx -Q; flush
printf 'to nobody else' >m
tpm2_rsaencrypt -c k.ctx -s oaep -o e m; flush
tpm2_rsadecrypt -c k.ctx -s oaep -o d e; flush
tpm2_sign -c k.ctx -g sha256 -o s m; flush
tpm2_verifysignature -c k.ctx -g sha256 -m m -s s; flush
cat d`,
		want: "to nobody else",
	},
	{
		title: "NV: a counter counts, bits are set, a digest is extended, and all are undefined",
		script: `tpm2_nvdefine 0x1500010 -C o -a 'ownerread|ownerwrite|nt=counter' -Q
tpm2_nvincrement 0x1500010 -C o; one=$(tpm2_nvread 0x1500010 -C o | od -An -tx1)
tpm2_nvincrement 0x1500010 -C o; two=$(tpm2_nvread 0x1500010 -C o | od -An -tx1)
test "$one" != "$two"
tpm2_nvdefine 0x1500011 -C o -a 'ownerread|ownerwrite|nt=bits' -Q
tpm2_nvsetbits 0x1500011 -C o -i 0x21; tpm2_nvread 0x1500011 -C o | od -An -tx1
tpm2_nvdefine 0x1500012 -C o -a 'ownerread|ownerwrite|nt=extend' -Q
printf x >x; tpm2_nvextend 0x1500012 -C o -i x; tpm2_nvreadpublic 0x1500012
for i in 0x1500010 0x1500011 0x1500012; do tpm2_nvundefine $i -C o; done
echo "left: $(tpm2_getcap handles-nv-index | grep -c 0x150001 || true)"`,
		want: "left: 0",
	},
	{
		title: "a policy session over PCRs opens an object by hand",
		script: `tpm2_startauthsession -S s.ctx --policy-session
tpm2_policypcr -S s.ctx -l sha256:9 -L pol; tpm2_flushcontext s.ctx
tpm2_createprimary -C o -c p.ctx -Q
printf 'by hand' | tpm2_create -C p.ctx -L pol -i - -u o.pub -r o.priv -Q; flush
tpm2_load -C p.ctx -u o.pub -r o.priv -c o.ctx -Q; flush
tpm2_startauthsession -S s.ctx --policy-session; tpm2_policypcr -S s.ctx -l sha256:9 -Q
tpm2_unseal -c o.ctx -p session:s.ctx; tpm2_flushcontext s.ctx; flush`,
		want: "by hand",
	},
	{
		title: "an owner password is set, needed, and taken back",
		script: `tpm2_changeauth -c o secret
if tpm2_createprimary -C o -c p.ctx -Q 2>/dev/null; then echo made without the password; exit 1; fi
tpm2_createprimary -C o -P secret -c p.ctx -Q; flush
tpm2_changeauth -c o -p secret ""
tpm2_createprimary -C o -c p.ctx -Q; flush; echo back`,
		want: "back",
	},
	{
		title: "a persistent key is evicted",
		script: `tpm2_createprimary -C o -c p.ctx -Q; tpm2_evictcontrol -C o -c p.ctx 0x81000020 -Q; flush
tpm2_evictcontrol -C o -c 0x81000020 -Q
echo "left: $(tpm2_getcap handles-persistent | grep -c 0x81000020 || true)"`,
		want: "left: 0",
	},
	{
		title: "after TPM2_Clear the storage key is another",
		script: `tpm2_createprimary -C o -c p.ctx -Q; tpm2_readpublic -c p.ctx -n before -Q; flush
tpm2_clear
tpm2_createprimary -C o -c p.ctx -Q; tpm2_readpublic -c p.ctx -n after -Q; flush
cmp before after || echo another`,
		want: "another",
	},
}
