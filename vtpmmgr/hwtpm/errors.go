package hwtpm

import "errors"

// Why the root key cannot be had. Each is its own case for an operator.
var (
	ErrOtherTPM  = errors.New("hwtpm: the hardware TPM is not the one that holds the root key")
	ErrCleared   = errors.New("hwtpm: the hardware TPM was cleared: the root key is gone with its storage key")
	ErrOwner     = errors.New("hwtpm: the owner of the hardware TPM has a password: start the manager with ownerauth=, or take the password away (tpm2_changeauth -c owner)")
	ErrOwnerNone = errors.New("hwtpm: ownerauth= is given, and the owner of the hardware TPM has no password: take the word away")
	ErrOwnerZero = errors.New("hwtpm: the owner's password has a zero byte before its end, and cannot be used: change it (tpm2_changeauth -c owner)")
	ErrPCR       = errors.New("hwtpm: the hardware TPM's PCRs are not those of the policy, nor approved by the operator")
)

// What happened to the NV indices.
var (
	ErrIndexGone  = errors.New("hwtpm: an NV index that keeps old disks out is gone from the hardware TPM")
	ErrIndexOther = errors.New("hwtpm: an NV index that keeps old disks out is not the one that was made")
)

// What is wrong with a disk.
var (
	ErrUninitialized = errors.New("hwtpm: disk has no root record: initialize it by an explicit order")
	ErrInitialized   = errors.New("hwtpm: disk has a root record already: will not initialize it again")
	ErrNotBlank      = errors.New("hwtpm: disk is not blank: will not initialize it")
)

// ErrRecord says that a root record is malformed.
var ErrRecord = errors.New("hwtpm: root record is malformed")

// ErrApproval is the error of an approval that the operator did not sign, or did
// not sign for the values that come with it.
var ErrApproval = errors.New("hwtpm: approval of other PCRs is not the operator's")

// ErrNoRoom says that the hardware TPM's NV memory has no room for the indices.
var ErrNoRoom = errors.New("hwtpm: the hardware TPM has no room for another NV index or counter; undefine what nobody needs")

// ErrMoved says that newer NV indices have taken the place of a record's, or that the
// administrator has ordered it: the disk is one of before.
var ErrMoved = errors.New("hwtpm: newer NV indices of this manager are there: the disk is of before the move to them, or the move was cut off")

var errLocked = errors.New("the root key is not unlocked")
