# packages: clevis clevis-tpm2 clevis-luks cryptsetup-bin
# A secret, and the key of a disk, bound to PCRs.
echo -n hush > m
for how in '{}' '{"pcr_bank":"sha256","pcr_ids":"7"}' '{"hash":"sha256","key":"rsa","pcr_bank":"sha256","pcr_ids":"7,16"}'; do
	clevis encrypt tpm2 "$how" < m > jwe
	clevis decrypt < jwe | cmp - m
done
if [ "$(id -u)" = 0 ]; then # cryptsetup locks below /run
	truncate -s 20M disk
	echo -n pass > pass
	cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 disk pass
	clevis luks bind -y -f -k pass -d disk tpm2 '{"pcr_bank":"sha256","pcr_ids":"7"}'
	clevis luks pass -d disk -s 1 > phrase
	cryptsetup open --test-passphrase --key-file phrase --key-slot 1 disk
fi
tpm2_pcrreset 16
measure 16
fails clevis decrypt < jwe
tpm2_pcrreset 16
clevis decrypt < jwe | cmp - m
measure 7
fails clevis decrypt < jwe
[ ! -e disk ] || fails clevis luks pass -d disk -s 1
# A TPM that was cleared has forgotten.
clevis encrypt tpm2 '{}' < m > jwe
clevis decrypt < jwe | cmp - m
tpm2_clear -c p
fails clevis decrypt < jwe
