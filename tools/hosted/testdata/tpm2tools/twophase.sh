# Ephemeral keys: both sides of a two-phase exchange get the same points.
primary
for k in a b; do
	t tpm2_create -Q -C p.ctx -G ecc256:ecdh -u $k.pub -r $k.priv -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt'
	t tpm2_load -Q -C p.ctx -u $k.pub -r $k.priv -c $k.ctx
	# The static point, as TPM2B_ECC_POINT: of the public area the last 68 octets.
	(printf '\0\104'; tail -c 68 $k.pub) > $k.q
done
tpm2_ecephemeral -u a.eph -t a.count ecc256
tpm2_ecephemeral -u b.eph -t b.count ecc256
number() { echo $((0x$(xxd -p $1))); }
t tpm2_zgen2phase -c a.ctx --static-public b.q --ephemeral-public b.eph -t $(number a.count) --output-Z1 a.z1 --output-Z2 a.z2
t tpm2_zgen2phase -c b.ctx --static-public a.q --ephemeral-public a.eph -t $(number b.count) --output-Z1 b.z1 --output-Z2 b.z2
cmp a.z1 b.z1
cmp a.z2 b.z2
# A commitment of ECDAA; without a base point it is E alone.
t tpm2_create -Q -C p.ctx -G ecc256:ecdaa4-sha256 -u d.pub -r d.priv
t tpm2_load -Q -C p.ctx -u d.pub -r d.priv -c d.ctx
t tpm2_commit -Q -c d.ctx --eccpoint-K K --eccpoint-L L -u E -t count
[ -s E ]
