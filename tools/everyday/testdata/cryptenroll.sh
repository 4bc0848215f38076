# packages: systemd cryptsetup-bin jq
# The key of a disk and a credential, both enrolled by systemd, bound to PCR 7.
[ "$(id -u)" = 0 ] || { echo "cryptsetup locks below /run: needs root"; exit 77; }
export PASSWORD=pass
measure 7 # systemd warns of a PCR that is zero
truncate -s 20M disk
echo -n pass > pass
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 disk pass
systemd-cryptenroll --tpm2-device="$TCTI" --tpm2-pcrs=7 disk
[ "$(systemd-cryptenroll disk | awk '{print $1, $2}' | tail -1)" = "1 tpm2" ]

# tpm2-tools unseal what systemd sealed: the passphrase of the slot.
cryptsetup token export --token-id 0 disk > token
jq -r '."tpm2-blob"' token | base64 -d > blob
n=$((2 + 0x$(xxd -p -l 2 blob)))
head -c $n blob > priv
tail -c +$((n + 1)) blob > pub
tpm2_createprimary -Q -C o -G ecc -c p.ctx
tpm2_load -Q -C p.ctx -u pub -r priv -c k.ctx
tpm2_unseal -c k.ctx -p pcr:sha256:7 | base64 -w0 > phrase
tpm2_flushcontext -t
cryptsetup open --test-passphrase --key-file phrase --key-slot 1 disk

echo hush > m
systemd-creds encrypt --with-key=tpm2 --tpm2-device="$TCTI" --tpm2-pcrs=7 --name=c m cred
systemd-creds decrypt --tpm2-device="$TCTI" --name=c cred - | cmp - m

# systemd opens the disk, or gets the key and has no device-mapper to do it with.
vol=everyday-$$
attach() { timeout 60 /lib/systemd/systemd-cryptsetup attach $vol "$PWD/disk" - tpm2-device="$TCTI",headless=1; }
if attach > attach.log 2>&1; then
	/lib/systemd/systemd-cryptsetup detach $vol
else
	grep 'Failed to activate with TPM2 acquired key: Operation not supported' attach.log
fi

# With a PIN.
NEWPIN=1234 systemd-cryptenroll --wipe-slot=1 --tpm2-device="$TCTI" --tpm2-pcrs=7 --tpm2-with-pin=yes disk
if PIN=1234 attach > pin.log 2>&1; then
	/lib/systemd/systemd-cryptsetup detach $vol
else
	grep 'Failed to activate with TPM2 acquired key: Operation not supported' pin.log
fi
fails env PIN=4321 bash -c "$(declare -f attach); vol=$vol attach > wrong.log 2>&1"
if grep 'with TPM2 acquired key' wrong.log; then echo "a wrong PIN unseals"; exit 1; fi

measure 7
fails systemd-creds decrypt --tpm2-device="$TCTI" --name=c cred -
fails env PIN=1234 bash -c "$(declare -f attach); vol=$vol attach > changed.log 2>&1"
grep 'Current policy digest does not match stored policy digest' changed.log
