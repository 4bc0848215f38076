package hosted

const socketHelp = `Usage: stubtpm socket [options]

The options are those of swtpm(8), "swtpm socket":
  --tpm2                    needed: this is a TPM 2.0
  --tpmstate dir=DIR[,mode=0...]|backend-uri=dir://DIR|backend-uri=file://FILE[,mode=0...]
                            FILE may be a block device. DIR is made if missing, but not its parents.
                            Without --key the state is not encrypted: a user who can read it has all keys
                            of the TPM. An old copy that is put back is accepted, also with --key:
                            counters, PIN attempts and removed objects go back with it, and nothing
                            reports it.
  --server type=tcp,port=P[,bindaddr=A][,disconnect] | type=unixio,path=F[,mode=0...][,uid=][,gid=] | fd=N
  --ctrl type=tcp,port=P[,bindaddr=A] | type=unixio,path=F[,mode=0...][,uid=][,gid=] | fd=N | clientfd=N
                            with terminate the process ends when a client of the channel leaves
                            There is no access control beyond the socket's. The channel hands out
                            the state, with all its secrets, unencrypted unless --migration-key is given
                            (--key alone does not help); on TCP, to every user of this machine.
  -p, --port P; -f, --fd N; -t, --terminate; -d, --daemon
  stubtpm chardev takes a character device in place of --server:
  -c, --chardev PATH; -f, --fd N; --vtpm-proxy (a TPM device that Linux makes, by /dev/vtpmx)
  --flags not-need-init,startup-clear|startup-state|startup-none,disable-auto-shutdown
  --locality reject-locality-4,allow-set-locality
  --key, --migration-key file=F|fd=N[,format=hex|binary] | pwdfile=F|pwdfd=N[,kdf=pbkdf2|sha512] [,mode=aes-256-cbc][,remove]
                            the files are AES-GCM under a key of that size
  --log file=F|fd=N[,prefix=][,truncate]; --pid file=F|fd=N; -r, --runas USER; -R, --chroot DIR
  --seccomp action=kill|log|none
                            what happens at a forbidden system call; kill, the default, also keeps the
                            process from all files but its state (Landlock)
  --print-capabilities, --print-states, --print-profiles, --print-info FLAGS, --version, --help
  --migration incoming,release-lock-outgoing
                            shared storage: lock the state at CMD_INIT; release the lock after the last blob
  --profile NAME|FILE|JSON  what a new TPM offers, also as name=, file=, fd= or profile=. swtpm's names
                            default-v1, null and custom are the profile of no --profile
and two more:
  --no-sync                 do not flush the state to the disk at each change (swtpm never does):
                            a loss of power may lose the TPM
  --strict                  refuse a state that is partly damaged, so that it may be an older one,
                            and files or directories that other users can change
`
