//! Whether the processor has tiles, and the system lets this process use them.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

/// Bit of leaf 1, in ECX: the system has enabled XGETBV.
const OSXSAVE: u32 = 1 << 27;
/// Bits of leaf 7, in EDX: products of bf16, and tiles.
const AMX_BF16: u32 = 1 << 22;
const AMX_TILE: u32 = 1 << 24;
/// Bits of XCR0: shapes and contents of tiles are saved where threads take turns.
const XTILE: u64 = 0b11 << 17;
/// `arch_prctl`, and its request for a part of the state of threads that they do not have at first.
const ARCH_PRCTL: usize = 158;
const REQUEST: usize = 0x1023;
/// That part: the contents of tiles.
const XTILEDATA: usize = 18;

/// Whether tiles may be used by all threads of this process; asked for once.
pub(super) fn is_open() -> bool {
    static OPEN: OnceLock<bool> = OnceLock::new();
    *OPEN.get_or_init(|| pulp::x86::V4::is_available() && has_tiles() && is_permitted())
}

/// Whether there are the instructions, tiles of the shape that we use, and a system that knows them.
fn has_tiles() -> bool {
    if __cpuid(0).eax < 0x1d || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let features = AMX_BF16 | AMX_TILE;
    if __cpuid_count(7, 0).edx & features != features || xcr0() & XTILE != XTILE {
        return false;
    }
    // The first palette of shapes: 8 tiles of 16 rows of 64 bytes.
    let palette = __cpuid_count(0x1d, 1);
    let (row, tiles, rows) = (palette.ebx & 0xffff, palette.ebx >> 16, palette.ecx & 0xffff);
    row >= 64 && tiles >= 8 && rows >= 16
}

/// The parts of the state of threads that the system saves.
fn xcr0() -> u64 {
    let (low, high): (u32, u32);
    #[expect(unsafe_code, reason = "the intrinsic is unsafe as well")]
    // SAFETY: the instruction is there where OSXSAVE is; it reads one register, and changes two.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Whether the system grants the contents of tiles to this process.
///
/// Linux grants them to the process and not to the thread that asks ("Using XSTATE features in user
/// space applications" in its documentation): threads that there are already have them too, the memory
/// that saves their tiles is made when each uses them first, and children inherit the permission. It is
/// refused where the processor or the kernel (before 5.16) does not know them, and where a thread has a
/// stack for signals that they would not fit on.
fn is_permitted() -> bool {
    let result: isize;
    #[expect(unsafe_code, reason = "there is no other way to ask")]
    // SAFETY: the call takes two numbers, reads and writes no memory of ours, and changes the registers
    // that are named here.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST,
            in("rsi") XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}
