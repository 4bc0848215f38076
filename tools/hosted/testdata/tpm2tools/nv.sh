i=0x1500001
printf 0123456789abcdef > d
tpm2_nvdefine -Q $i -C o -s 32 -a 'ownerread|ownerwrite|authread|authwrite' -p pw
fails tpm2_nvdefine -Q $i -C o -s 32
fails tpm2_nvread $i -C o -s 16
tpm2_nvwrite -Q $i -C o -i d
same "$(tpm2_nvread $i -C o -s 16)" 0123456789abcdef
same "$(tpm2_nvread $i -C $i -P pw -s 4 --offset 4)" 4567
tpm2_nvwrite -Q $i -C $i -P pw -i d --offset 16
fails tpm2_nvwrite -Q $i -C $i -P pw -i d --offset 17
fails tpm2_nvread $i -C $i -P wrong -s 4
tpm2_nvreadpublic $i | grep 'size: 32' >/dev/null
tpm2_nvreadpublic | grep 0x1500001 >/dev/null
tpm2_nvundefine -Q $i -C o
fails tpm2_nvread $i -C o -s 16
# Counter, bits, extend.
tpm2_nvdefine -Q $i -C o -s 8 -a 'ownerread|ownerwrite|nt=counter'
tpm2_nvincrement -Q $i -C o
a=$(tpm2_nvread $i -C o | xxd -p); tpm2_nvincrement -Q $i -C o; b=$(tpm2_nvread $i -C o | xxd -p)
same $((0x$a + 1)) $((0x$b))
tpm2_nvundefine -Q $i -C o
# A counter made anew never repeats a value.
tpm2_nvdefine -Q $i -C o -s 8 -a 'ownerread|ownerwrite|nt=counter'
tpm2_nvincrement -Q $i -C o
c=$(tpm2_nvread $i -C o | xxd -p)
[ $((0x$c)) -gt $((0x$b)) ]
tpm2_nvundefine -Q $i -C o
tpm2_nvdefine -Q $i -C o -s 8 -a 'ownerread|ownerwrite|nt=bits'
tpm2_nvsetbits -Q $i -C o -i 0x5
tpm2_nvsetbits -Q $i -C o -i 0x8
same "$(tpm2_nvread $i -C o | xxd -p)" 000000000000000d
tpm2_nvundefine -Q $i -C o
tpm2_nvdefine -Q $i -C o -a 'ownerread|ownerwrite|nt=extend'
tpm2_nvextend -Q $i -C o -i d
want=$( (head -c 32 /dev/zero; cat d) | sha256sum | cut -d' ' -f1)
same "$(tpm2_nvread $i -C o | xxd -p -c 64)" "$want"
tpm2_nvundefine -Q $i -C o
# Locks.
tpm2_nvdefine -Q $i -C o -s 8 -a 'ownerread|ownerwrite|read_stclear|writedefine'
printf 12345678 > e
tpm2_nvwrite -Q $i -C o -i e
tpm2_nvwritelock -Q $i -C o
fails tpm2_nvwrite -Q $i -C o -i e
tpm2_nvreadlock -Q $i -C o
fails tpm2_nvread $i -C o -s 8
tpm2_nvundefine -Q $i -C o
