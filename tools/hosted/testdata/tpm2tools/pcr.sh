zero=$(printf '0%.0s' $(seq 64))
d=$(echo -n measured | sha256sum | cut -d' ' -f1)
tpm2_pcrreset 16
tpm2_pcrextend 16:sha256=$d
tpm2_pcrread sha256:16 -o pcr -Q
want=$(echo -n "$zero$d" | xxd -r -p | sha256sum | cut -d' ' -f1)
same "$(xxd -p -c 64 pcr)" "$want"
# A TPM with several banks extends all that are given.
tpm2_pcrread sha1:7+sha256:7+sha384:7 > before
tpm2_pcrextend 7:sha1=$(echo x | sha1sum | cut -d' ' -f1),sha256=$d,sha384=$(echo x | sha384sum | cut -d' ' -f1)
tpm2_pcrread sha1:7+sha256:7+sha384:7 > after
same "$(diff before after | grep -c '^>')" 3
echo event > ev
tpm2_pcrevent 16 ev | grep "sha256: $(sha256sum ev | cut -d' ' -f1)" >/dev/null
fails tpm2_pcrreset 0
# PCR 17 to 22 start at all ones.
tpm2_pcrread sha256:17 -o pcr17 -Q
same "$(xxd -p -c 64 pcr17)" "$(printf 'f%.0s' $(seq 64))"
