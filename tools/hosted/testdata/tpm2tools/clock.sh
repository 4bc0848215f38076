clock() { tpm2_readclock | sed -n 's/^ *clock: //p'; }
before=$(clock)
tpm2_setclock $((before + 100000))
now=$(clock)
[ "$now" -ge $((before + 100000)) ]
fails tpm2_setclock "$before"
tpm2_clockrateadjust -c p ss
tpm2_clockrateadjust -c o ff
fails tpm2_clockrateadjust -c e m
# Resets are counted, and the clock goes on.
resets() { tpm2_readclock | sed -n 's/^ *reset_count: //p'; }
r=$(resets)
tpm2_shutdown -c
tpm2_startup -c
[ "$(resets)" = "$r" ]
