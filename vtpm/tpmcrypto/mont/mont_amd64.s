#include "textflag.h"

// Numbers are 16 limbs, the lowest first. BP is 0 throughout (the frame saves
// and restores it), AX and BX take each product, DX is the multiplier, and of
// R8 to R15 and CX eight hold the running sum while the ninth becomes its next
// limb. No branch and no address depends on a value.
//
// Frame: T, 32 limbs, at 0(SP); Q, 8 limbs, at 256(SP); a carry at 320(SP); the
// overflow at 328(SP).
#define T(i) (8*(i))(SP)
#define Q(i) (256+8*(i))(SP)
#define CARRY 320(SP)
#define OVER 328(SP)

// ALL does M for each limb, REST for each but the lowest.
#define ALL(M) \
	M(0);  \
	M(1);  \
	M(2);  \
	M(3);  \
	M(4);  \
	M(5);  \
	M(6);  \
	M(7);  \
	M(8);  \
	M(9);  \
	M(10); \
	M(11); \
	M(12); \
	M(13); \
	M(14); \
	M(15)

#define REST(M, OP) \
	M(OP, 1);  \
	M(OP, 2);  \
	M(OP, 3);  \
	M(OP, 4);  \
	M(OP, 5);  \
	M(OP, 6);  \
	M(OP, 7);  \
	M(OP, 8);  \
	M(OP, 9);  \
	M(OP, 10); \
	M(OP, 11); \
	M(OP, 12); \
	M(OP, 13); \
	M(OP, 14); \
	M(OP, 15)

// ROW adds DX times the 8 limbs at O(V) to a0..a7; the sum is a0..a8. The
// products' low halves are added by one chain of carries, their high halves by
// another.
#define ROW(V, O, a0, a1, a2, a3, a4, a5, a6, a7, a8) \
	XORQ  a8, a8;           \
	MULXQ (O+0)(V), AX, BX;   \
	ADCXQ AX, a0;           \
	ADOXQ BX, a1;           \
	MULXQ (O+8)(V), AX, BX;   \
	ADCXQ AX, a1;           \
	ADOXQ BX, a2;           \
	MULXQ (O+16)(V), AX, BX;  \
	ADCXQ AX, a2;           \
	ADOXQ BX, a3;           \
	MULXQ (O+24)(V), AX, BX;  \
	ADCXQ AX, a3;           \
	ADOXQ BX, a4;           \
	MULXQ (O+32)(V), AX, BX;  \
	ADCXQ AX, a4;           \
	ADOXQ BX, a5;           \
	MULXQ (O+40)(V), AX, BX;  \
	ADCXQ AX, a5;           \
	ADOXQ BX, a6;           \
	MULXQ (O+48)(V), AX, BX;  \
	ADCXQ AX, a6;           \
	ADOXQ BX, a7;           \
	MULXQ (O+56)(V), AX, BX;  \
	ADCXQ AX, a7;           \
	ADOXQ BX, a8;           \
	ADCXQ BP, a8

// ROWS adds the product of the 8 limbs at P(D) and those at O(V) to a0..a7.
// The low half of the sum goes to T(t) and the following, the high half is in
// a8, a0..a6.
#define ROWS(D, P, V, O, t, a0, a1, a2, a3, a4, a5, a6, a7, a8) \
	MOVQ (P+0)(D), DX;                                \
	ROW(V, O, a0, a1, a2, a3, a4, a5, a6, a7, a8);  \
	MOVQ a0, T(t);                                  \
	MOVQ (P+8)(D), DX;                                \
	ROW(V, O, a1, a2, a3, a4, a5, a6, a7, a8, a0);  \
	MOVQ a1, T(t+1);                                \
	MOVQ (P+16)(D), DX;                               \
	ROW(V, O, a2, a3, a4, a5, a6, a7, a8, a0, a1);  \
	MOVQ a2, T(t+2);                                \
	MOVQ (P+24)(D), DX;                               \
	ROW(V, O, a3, a4, a5, a6, a7, a8, a0, a1, a2);  \
	MOVQ a3, T(t+3);                                \
	MOVQ (P+32)(D), DX;                               \
	ROW(V, O, a4, a5, a6, a7, a8, a0, a1, a2, a3);  \
	MOVQ a4, T(t+4);                                \
	MOVQ (P+40)(D), DX;                               \
	ROW(V, O, a5, a6, a7, a8, a0, a1, a2, a3, a4);  \
	MOVQ a5, T(t+5);                                \
	MOVQ (P+48)(D), DX;                               \
	ROW(V, O, a6, a7, a8, a0, a1, a2, a3, a4, a5);  \
	MOVQ a6, T(t+6);                                \
	MOVQ (P+56)(D), DX;                               \
	ROW(V, O, a7, a8, a0, a1, a2, a3, a4, a5, a6);  \
	MOVQ a7, T(t+7)

// QROW finds the multiple of the modulus that makes a0 zero, notes it as
// Q(i), and adds its low half.
#define QROW(i, K, a0, a1, a2, a3, a4, a5, a6, a7, a8) \
	MOVQ  K, DX;                                    \
	IMULQ a0, DX;                                   \
	MOVQ  DX, Q(i);                                 \
	ROW(DI, 0, a0, a1, a2, a3, a4, a5, a6, a7, a8)

#define LOAD(t, a0, a1, a2, a3, a4, a5, a6, a7) \
	MOVQ T(t), a0;   \
	MOVQ T(t+1), a1; \
	MOVQ T(t+2), a2; \
	MOVQ T(t+3), a3; \
	MOVQ T(t+4), a4; \
	MOVQ T(t+5), a5; \
	MOVQ T(t+6), a6; \
	MOVQ T(t+7), a7

#define STORE(t, a0, a1, a2, a3, a4, a5, a6, a7) \
	MOVQ a0, T(t);   \
	MOVQ a1, T(t+1); \
	MOVQ a2, T(t+2); \
	MOVQ a3, T(t+3); \
	MOVQ a4, T(t+4); \
	MOVQ a5, T(t+5); \
	MOVQ a6, T(t+6); \
	MOVQ a7, T(t+7)

// ADDT adds T(t) and the following, and the carry flag.
#define ADDT(t, a0, a1, a2, a3, a4, a5, a6, a7) \
	ADCQ T(t), a0;   \
	ADCQ T(t+1), a1; \
	ADCQ T(t+2), a2; \
	ADCQ T(t+3), a3; \
	ADCQ T(t+4), a4; \
	ADCQ T(t+5), a5; \
	ADCQ T(t+6), a6; \
	ADCQ T(t+7), a7

// RIPPLE takes the carry flag through T(t) and the following.
#define RIPPLE(t) \
	ADCQ $0, T(t);   \
	ADCQ $0, T(t+1); \
	ADCQ $0, T(t+2); \
	ADCQ $0, T(t+3); \
	ADCQ $0, T(t+4); \
	ADCQ $0, T(t+5); \
	ADCQ $0, T(t+6); \
	ADCQ $0, T(t+7)

// REDUCE8 adds a multiple of the modulus at (DI) that makes T(t) to T(t+7)
// zero. The new T(t+16) to T(t+23) are in R15, CX, R8..R13, with the carry flag.
#define REDUCE8(t, K) \
	LOAD(t, R8, R9, R10, R11, R12, R13, R14, R15);        \
	QROW(0, K, R8, R9, R10, R11, R12, R13, R14, R15, CX); \
	QROW(1, K, R9, R10, R11, R12, R13, R14, R15, CX, R8); \
	QROW(2, K, R10, R11, R12, R13, R14, R15, CX, R8, R9); \
	QROW(3, K, R11, R12, R13, R14, R15, CX, R8, R9, R10); \
	QROW(4, K, R12, R13, R14, R15, CX, R8, R9, R10, R11); \
	QROW(5, K, R13, R14, R15, CX, R8, R9, R10, R11, R12); \
	QROW(6, K, R14, R15, CX, R8, R9, R10, R11, R12, R13); \
	QROW(7, K, R15, CX, R8, R9, R10, R11, R12, R13, R14); \
	XORQ AX, AX;                                          \
	ADDT(t+8, CX, R8, R9, R10, R11, R12, R13, R14);       \
	ADCQ BP, AX;                                          \
	MOVQ AX, CARRY;                                       \
	ROWS(SP, 256, DI, 64, t+8, CX, R8, R9, R10, R11, R12, R13, R14, R15); \
	MOVQ CARRY, AX;                                       \
	ADDQ $-1, AX;                                         \
	ADDT(t+16, R15, CX, R8, R9, R10, R11, R12, R13)

#define FINAL(i) \
	MOVQ    (8*i)(SI), R8;  \
	CMOVQCS T(16+i), R8;    \
	MOVQ    R8, (8*i)(SI)

#define MINUS(OP, i) \
	MOVQ T(16+i), R8;      \
	OP   (8*i)(DI), R8;    \
	MOVQ R8, (8*i)(SI)

// REDUCE sets (SI) = T / 2^1024 modulo the modulus at (DI), for T below it
// times 2^1024; K holds -1/modulus. Z is where SI is found.
#define REDUCE(Z, K) \
	REDUCE8(0, K);                                   \
	STORE(16, R15, CX, R8, R9, R10, R11, R12, R13);  \
	RIPPLE(24);                                      \
	MOVQ BP, AX;                                     \
	ADCQ BP, AX;                                     \
	MOVQ AX, OVER;                                   \
	REDUCE8(8, K);                                   \
	STORE(24, R15, CX, R8, R9, R10, R11, R12, R13);  \
	MOVQ OVER, AX;                                   \
	ADCQ BP, AX;                                     \
	MOVQ Z, SI;                                      \
	MINUS(SUBQ, 0);                                  \
	REST(MINUS, SBBQ);                               \
	SBBQ BP, AX;                                     \
	ALL(FINAL)

// PART adds DX times the limb at O to lo and hi; the chain of lo starts where
// the caller has cleared the flags.
#define PART(O, lo, hi) \
	MULXQ (O)(SI), AX, BX; \
	ADCXQ AX, lo;        \
	ADOXQ BX, hi

// TRIANGLE sets T(t) to T(t+15) to the sum of the products of different limbs
// among the 8 at O(SI), each pair once.
#define TRIANGLE(O, t) \
	MOVQ  (O+0)(SI), DX;         \
	MULXQ (O+8)(SI), R8, R9;     \
	MULXQ (O+16)(SI), AX, R10;   \
	ADDQ  AX, R9;              \
	MULXQ (O+24)(SI), AX, R11;   \
	ADCQ  AX, R10;             \
	MULXQ (O+32)(SI), AX, R12;   \
	ADCQ  AX, R11;             \
	MULXQ (O+40)(SI), AX, R13;   \
	ADCQ  AX, R12;             \
	MULXQ (O+48)(SI), AX, R14;   \
	ADCQ  AX, R13;             \
	MULXQ (O+56)(SI), AX, R15;   \
	ADCQ  AX, R14;             \
	ADCQ  BP, R15;             \
	MOVQ  BP, T(t);            \
	MOVQ  R8, T(t+1);          \
	MOVQ  R9, T(t+2);          \
	MOVQ  (O+8)(SI), DX;         \
	XORQ  R8, R8;              \
	PART(O+16, R10, R11);      \
	PART(O+24, R11, R12);      \
	PART(O+32, R12, R13);      \
	PART(O+40, R13, R14);      \
	PART(O+48, R14, R15);      \
	PART(O+56, R15, R8);       \
	ADCXQ BP, R8;              \
	MOVQ  R10, T(t+3);         \
	MOVQ  R11, T(t+4);         \
	MOVQ  (O+16)(SI), DX;        \
	XORQ  R9, R9;              \
	PART(O+24, R12, R13);      \
	PART(O+32, R13, R14);      \
	PART(O+40, R14, R15);      \
	PART(O+48, R15, R8);       \
	PART(O+56, R8, R9);        \
	ADCXQ BP, R9;              \
	MOVQ  R12, T(t+5);         \
	MOVQ  R13, T(t+6);         \
	MOVQ  (O+24)(SI), DX;        \
	XORQ  R10, R10;            \
	PART(O+32, R14, R15);      \
	PART(O+40, R15, R8);       \
	PART(O+48, R8, R9);        \
	PART(O+56, R9, R10);       \
	ADCXQ BP, R10;             \
	MOVQ  R14, T(t+7);         \
	MOVQ  R15, T(t+8);         \
	MOVQ  (O+32)(SI), DX;        \
	XORQ  R11, R11;            \
	PART(O+40, R8, R9);        \
	PART(O+48, R9, R10);       \
	PART(O+56, R10, R11);      \
	ADCXQ BP, R11;             \
	MOVQ  R8, T(t+9);          \
	MOVQ  R9, T(t+10);         \
	MOVQ  (O+40)(SI), DX;        \
	XORQ  R12, R12;            \
	PART(O+48, R10, R11);      \
	PART(O+56, R11, R12);      \
	ADCXQ BP, R12;             \
	MOVQ  R10, T(t+11);        \
	MOVQ  R11, T(t+12);        \
	MOVQ  (O+48)(SI), DX;        \
	XORQ  R13, R13;            \
	PART(O+56, R12, R13);      \
	ADCXQ BP, R13;             \
	MOVQ  R12, T(t+13);        \
	MOVQ  R13, T(t+14);        \
	MOVQ  BP, T(t+15)

// DOUBLE doubles two limbs of T by one chain of carries, and adds the square of
// limb i by another.
#define DOUBLE(i) \
	MOVQ  (8*i)(SI), DX; \
	MULXQ DX, AX, BX;    \
	MOVQ  T(2*i), R8;    \
	ADOXQ R8, R8;        \
	ADCXQ AX, R8;        \
	MOVQ  R8, T(2*i);    \
	MOVQ  T(2*i+1), R9;  \
	ADOXQ R9, R9;        \
	ADCXQ BX, R9;        \
	MOVQ  R9, T(2*i+1)

// func montSquare(z, x, m *[16]uint64, k uint64)
TEXT ·montSquare(SB), NOSPLIT, $336-32
	MOVQ x+8(FP), SI
	MOVQ m+16(FP), DI
	XORQ BP, BP

	TRIANGLE(0, 0)
	TRIANGLE(64, 16)

	// The lower half of x times the upper.
	LOAD(8, R8, R9, R10, R11, R12, R13, R14, R15)
	ROWS(SI, 0, SI, 64, 8, R8, R9, R10, R11, R12, R13, R14, R15, CX)
	XORQ AX, AX
	ADDT(16, CX, R8, R9, R10, R11, R12, R13, R14)
	STORE(16, CX, R8, R9, R10, R11, R12, R13, R14)
	RIPPLE(24)

	XORQ AX, AX
	ALL(DOUBLE)

	REDUCE(z+0(FP), k+24(FP))
	RET

// func montMul(z, x, y, m *[16]uint64, k uint64)
TEXT ·montMul(SB), NOSPLIT, $336-40
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DI
	XORQ BP, BP

	// y times the lower half of x.
	XORQ R8, R8
	XORQ R9, R9
	XORQ R10, R10
	XORQ R11, R11
	XORQ R12, R12
	XORQ R13, R13
	XORQ R14, R14
	XORQ R15, R15
	ROWS(DI, 0, SI, 0, 0, R8, R9, R10, R11, R12, R13, R14, R15, CX)
	ROWS(DI, 64, SI, 0, 8, CX, R8, R9, R10, R11, R12, R13, R14, R15)
	STORE(16, R15, CX, R8, R9, R10, R11, R12, R13)

	// y times the upper half.
	LOAD(8, R8, R9, R10, R11, R12, R13, R14, R15)
	ROWS(DI, 0, SI, 64, 8, R8, R9, R10, R11, R12, R13, R14, R15, CX)
	XORQ AX, AX
	ADDT(16, CX, R8, R9, R10, R11, R12, R13, R14)
	ADCQ BP, AX
	MOVQ AX, CARRY
	ROWS(DI, 64, SI, 64, 16, CX, R8, R9, R10, R11, R12, R13, R14, R15)
	ADDQ CARRY, R15
	ADCQ BP, CX
	ADCQ BP, R8
	ADCQ BP, R9
	ADCQ BP, R10
	ADCQ BP, R11
	ADCQ BP, R12
	ADCQ BP, R13
	STORE(24, R15, CX, R8, R9, R10, R11, R12, R13)

	MOVQ m+24(FP), DI
	REDUCE(z+0(FP), k+32(FP))
	RET

#define TWICE(OP, i) \
	MOVQ (8*i)(SI), R8; \
	OP   R8, R8;        \
	MOVQ R8, T(i)

#define LESS(OP, i) \
	MOVQ T(i), R8;      \
	OP   (8*i)(DI), R8; \
	MOVQ R8, T(16+i)

// CHOOSE writes 2z if the carry flag is set, else 2z-m, in place of limb i.
#define CHOOSE(i) \
	MOVQ    T(16+i), R8; \
	CMOVQCS T(i), R8;    \
	MOVQ    R8, T(i)

#define KEEP(i) \
	MOVQ    T(i), R8;         \
	CMOVQEQ (8*i)(SI), R8;    \
	MOVQ    R8, (8*i)(SI)

// func montDouble(z, m *Nat, bit uint64)
TEXT ·montDouble(SB), NOSPLIT, $256-24
	MOVQ z+0(FP), SI
	MOVQ m+8(FP), DI
	MOVQ bit+16(FP), BX
	XORQ AX, AX
	XORQ CX, CX
	TWICE(ADDQ, 0)
	REST(TWICE, ADCQ)
	ADCQ CX, AX
	LESS(SUBQ, 0)
	REST(LESS, SBBQ)
	SBBQ CX, AX
	ALL(CHOOSE)
	TESTQ BX, BX
	ALL(KEEP)
	RET

// func cpuid7() uint32
TEXT ·cpuid7(SB), NOSPLIT, $0-4
	XORL AX, AX
	XORL CX, CX
	CPUID
	CMPL AX, $7
	JLT  none
	MOVL $7, AX
	XORL CX, CX
	CPUID
	MOVL BX, ret+0(FP)
	RET

none:
	MOVL $0, ret+0(FP)
	RET
