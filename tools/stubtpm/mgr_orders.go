package main

import "slices"

// orders is the table of what `stubtpm mgr` does. Help, manual pages and completion list
// the orders in this sequence.
func orders() []order {
	return slices.Concat(setupOrders(), vtpmOrders(), moveOrders(), recoveryOrders(), groupOrders(), keyOrders(), hostOrders(), identityOrders(), auditOrders(), toolOrders())
}

// setupOrders are about the start of a manager and its state.
func setupOrders() []order {
	return []order{
		{name: "keygen", args: "FILE", flags: "for", help: "make a key", offline: true, run: keygen,
			more: "The private key is written to FILE, which must not exist. The public key is printed for the manager's first start (admin, host, " +
				"operator) or for group create (approver)."},
		{name: "init", flags: "pcrs operator host guard", help: "print the parameters of a new manager's first start", offline: true, run: initParameters,
			more: "The administrator's key is that of --key. The parameters belong on the command line of the manager's domain at its first start " +
				"only; but guard= must stay there."},
		{name: "xl-config", args: "GUEST UUID", flags: "manager-disk vtpm-disk words vtpm-words iomem o",
			help: "write the xl configurations of manager and vTPM, and the guest's line", offline: true, run: xlConfig,
			more: "They are written below /etc/stubtpm, or -o DIR. If a file exists with another content, nothing is written."},
		{name: "status", flags: "check", help: "show the manager's status", run: status},
	}
}

// vtpmOrders are about single vTPMs.
func vtpmOrders() []order {
	return []order{
		{name: "list", help: "show the enrolled vTPMs", run: list},
		{name: "show", args: "UUID", help: "show the record of one vTPM", run: show},
		{name: "enroll", args: "UUID", flags: "group name image profile replace starts start-images", help: "let a vTPM be manufactured at its next start", run: enroll,
			more: "With --image, the vTPM can connect only from a domain that was measured with that image before it ran. --profile applies to the " +
				"TPM that is manufactured then; an existing TPM keeps its profile. --replace allows to erase another TPM on its disk, as for a cloned guest. " +
				"With --starts measured, a guest gets the TPM only if the host measured what it starts, and with --start-images only if that is listed."},
		{name: "amend", args: "UUID", flags: "name image profile replace starts start-images", help: "change the record of an enrolled vTPM", run: amend,
			more: "A flag that is not given changes nothing; --image any allows any image, --replace=false revokes --replace. " +
				"--starts and --start-images count for the next start: a domain that has the TPM keeps it. " +
				"Use it before an update of the vTPM's image."},
		{name: "suspend", args: "UUID", help: "keep a vTPM from starting and from writing", run: uuidOrder(suspend),
			more: "The approver of its group and the administrator can do so; what the administrator suspended only the administrator can resume."},
		{name: "resume", args: "UUID", help: "end a suspend", run: uuidOrder(resume)},
		{name: "destroy", args: "UUID", flags: "yes", help: "erase the key of a vTPM: its state is lost permanently", run: destroy},
		{name: "backup", args: "UUID", flags: "o", help: "export the key and metadata that restore a vTPM's current state", run: backup,
			more: "Copy the vTPM's disk too, while the vTPM does not run: a backup belongs to that copy. The file is sealed; it opens nothing without " +
				"this manager or escrow."},
		{name: "restore", args: "FILE", help: "make the state of a backup the valid one, in a new epoch", run: restore,
			more: "The disk of the vTPM must be the copy made with the backup. Guests and verifiers can see the restore: the epoch is in NV index " +
				"0x01057b00, and Clock, resetCount and failedTries do not go back."},
	}
}

// recoveryOrders are about a manager that refuses its disk or its NV indices.
func recoveryOrders() []order {
	return []order{
		{name: "move-indices", flags: "manager challenge", help: "allow the manager to move to new NV indices of the hardware TPM", offline: true, run: moveIndices,
			more: "The manager's refusal names its ID and the challenge. The printed parameter belongs on the command line of its domain and is valid once."},
		{name: "restore-ledger", flags: "manager counter", help: "allow the manager to open an old copy of its disk", offline: true, run: restoreLedger,
			more: "The manager's refusal names its ID and the counter. The printed parameter belongs on the command line of its domain and is valid once."},
	}
}

// groupOrders are about groups and their escrow.
func groupOrders() []order {
	return []order{
		{name: "group list", help: "show the groups", run: groupList},
		{name: "group create", args: "NAME", flags: "approver escrow labels o", help: "make a group: a tenant with keys of its own", run: groupCreate,
			more: "With --escrow, the group's key is sealed to that key and written to the file of -o: keep it."},
		{name: "group amend", args: "NAME", flags: "approver labels name", help: "change the approver, the labels and the name of a group", run: groupAmend,
			more: "A flag that is not given changes nothing; --approver none makes the administrator the approver, --labels \"\" allows any label."},
		{name: "group quota", args: "NAME N", help: "limit the number of vTPMs of a group; 0 is no limit", run: groupQuota},
		{name: "group import", args: "NAME FILE", flags: "approver escrow labels", help: "make a group whose key was in escrow", run: groupImport,
			more: "FILE was written by escrow reseal."},
		{name: "escrow keygen", args: "FILE", help: "make an escrow key", offline: true, run: escrowKeygen,
			more: "The private key is written to FILE: keep it away from any host. The public key is printed, for group create."},
		{name: "escrow open", args: "FILE", flags: "escrow-key", help: "check that a group's key opens with the escrow key", offline: true, run: escrowOpen,
			more: "FILE was written by group create. This is a rehearsal: nothing secret is printed."},
		{name: "escrow reseal", args: "FILE", flags: "escrow-key recovery o", help: "seal a group's key to another manager", offline: true, run: escrowReseal,
			more: "FILE was written by group create; status of the other manager shows its recovery key."},
	}
}

// keyOrders are about the manager's keys and its rollback protection.
func keyOrders() []order {
	return []order{
		{name: "set-key", args: "ROLE FILE", help: "replace the administrator's or the host's key", run: setKey,
			more: "ROLE is admin or host; FILE is the private key that keygen wrote. --key must be the administrator's current key."},
		{name: "set-guard", args: "MODE", help: "set the rollback protection mode, which may be weaker than the current one", run: setGuard,
			more: "MODE is strict, budget, budget=N with N NV writes a day, or a duration such as 5s. A start with guard= sets a mode that is not weaker; " +
				"a weaker one needs this order. It is in the audit log."},
		{name: "recover-admin sign", args: "KEY", flags: "operator-key manager admin admin-number o",
			help: "allow a new administrator's key if the current one is lost or compromised", offline: true, run: recoverSign,
			more: "KEY is the new public key, or its file. The signature is valid only to replace the key of --admin, the manager's current one."},
		{name: "recover-admin send", args: "FILE", help: "send the manager what recover-admin sign wrote", run: recoverSend,
			more: "--key is the new key."},
		{name: "approve-pcrs sign", args: "PCR=VALUE ...", flags: "operator-key o", help: "sign new PCR values, before an update of firmware or Xen", offline: true, run: approveSign,
			more: "VALUE is the PCR of the SHA-256 bank in hexadecimal. All PCRs must be given that the manager's root key is sealed to."},
		{name: "approve-pcrs send", args: "FILE", help: "send the manager what approve-pcrs sign wrote", run: approveSend,
			more: "The manager keeps four approvals. After its first start with approved values it seals its root key to them, and stays sealed to those of " +
				"the system before."},
		{name: "approve-pcrs write", args: "FILE", flags: "manager-disk", help: "write the approval to the disk of a manager that does not start", offline: true, run: approveWrite,
			more: "The manager's domain must not run. It verifies the operator's signature again when it starts."},
	}
}

// hostOrders are what the host reports about domains.
func hostOrders() []order {
	return []order{
		{name: "measured", args: "DOMAIN [IMAGE]", flags: "hash", help: "measure a domain that has not run yet, and report it to the manager", run: reportMeasured,
			more: "DOMAIN, a name or an ID, was made by xl create -p. The hash of the program in its memory is reported; the file IMAGE only names the addresses. " +
				"The key may be the host's. With --hash and no IMAGE, that hash is reported and nothing is measured."},
		{name: "created", args: "DOMAIN UUID", flags: "measured measurer", help: "report that a guest was created and has not run yet", run: reportCreated,
			more: "DOMAIN is an ID; UUID is that of its vTPM. The key may be the host's. stubtpm-host create does it between xl create -p and xl unpause. " +
				"With --measured, the report also says what the domain is to run; whoever gives it must then measure that into the domain's TPM."},
		{name: "restored", args: "DOMAIN UUID TOKEN", help: "report that a guest was restored from an image and has not run yet", run: reportRestored,
			more: "DOMAIN is an ID; UUID is that of its vTPM, and TOKEN what is in the image, in hexadecimal (docs/moves.md). The key may be the host's. " +
				"stubtpm-host doorbell does it."},
	}
}

// auditOrders are about the audit log.
func auditOrders() []order {
	return []order{
		{name: "audit-log show", flags: "log from", help: "verify and show an audit log", run: auditShow},
		{name: "audit-log export", flags: "log from o", help: "write an audit log, signed, to a file or standard output", run: auditExport},
		{name: "audit-log verify", args: "FILE ...", flags: "audit-key", help: "verify what audit-log export wrote", offline: true, run: auditVerify,
			more: "Several files must be in chronological order, and each must continue where the one before it ended or repeat its entries."},
	}
}

// toolOrders are about this program.
func toolOrders() []order {
	return []order{
		{name: "man", args: "DIR", help: "write the manual pages below DIR, in man1 and man8", offline: true, run: writeMan},
		{name: "completion", args: "SHELL", help: "print the completion script for bash, zsh or fish", offline: true, run: completion},
	}
}
