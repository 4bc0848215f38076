a=$(tpm2_getrandom --hex 32); b=$(tpm2_getrandom --hex 32)
same ${#a} 64
[ "$a" != "$b" ]
echo -n entropy > e; tpm2_stirrandom e
