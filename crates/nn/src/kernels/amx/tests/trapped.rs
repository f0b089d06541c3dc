//! The instructions of [`Hardware`] on a processor that has none of them: the
//! signal that each raises is caught, the bytes that the processor refused are read, and what they ask for is
//! done to tiles in memory. So the real instructions, with their operands and addresses, are tested anywhere.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Case;
use super::emulation::{Emulated, File};
use super::layers;
use crate::kernels::amx::hardware::{Grant, Hardware};

/// Says that this process runs one test alone, so that signals are its own.
const ALONE: &str = "SCONCE_TEST_ALONE";

const NAME: &str = "kernels::amx::tests::trapped::the_instructions_do_what_is_emulated";

/// Instructions that have been caught.
static CAUGHT: AtomicUsize = AtomicUsize::new(0);
/// Whether they are.
static IS_CAUGHT: AtomicBool = AtomicBool::new(false);

/// The tiles of a thread, if they are configured.
struct Thread {
    file: File,
    is_configured: bool,
}

thread_local! {
    // Neither made when it is first used, nor dropped: a handler of signals may read it.
    static THREAD: UnsafeCell<Thread> =
        const { UnsafeCell::new(Thread { file: File::ZERO, is_configured: false }) };
}

#[test]
fn the_instructions_do_what_is_emulated() {
    if std::env::var_os(ALONE).is_some() {
        return alone();
    }
    let program = std::env::current_exe().expect("a path");
    let mut child = Command::new(program);
    child.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1");
    let child = child.output().expect("a child");
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    // A name that is not there runs nothing, and succeeds.
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
    assert!(text.contains("by the processor") != text.contains("caught and emulated"), "{text}");
    say(text.lines().find(|line| line.starts_with("tiles: ")).unwrap_or_default());
}

#[expect(clippy::print_stdout, reason = "which of two things has been tested")]
fn say(line: &str) {
    println!("{line}");
}

fn alone() {
    let is_there = Grant::new().is_some();
    if !is_there {
        catch();
    }
    let grant = Grant::new().expect("signals are caught");
    for (number, case) in Case::all().iter().enumerate() {
        let expected = case.results::<Emulated>(None);
        let found = case.results::<Hardware>(grant);
        for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let bits =
                |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert!(bits(found) == bits(expected), "case {number}, result {which}");
        }
    }
    let caught = || CAUGHT.load(Ordering::Relaxed);
    let cases = caught();
    let calls = AtomicUsize::new(0);
    let used = || if is_there { calls.fetch_add(1, Ordering::Relaxed) } else { caught() };
    layers::agree(&used).expect("layers");
    if is_there {
        assert_eq!(caught(), 0);
        say("tiles: by the processor");
    } else {
        assert!(cases > 10_000 && caught() > cases, "{cases} of {}", caught());
        say(&format!("tiles: {} instructions caught and emulated", caught()));
    }
}

/// Whether the instructions are handled here.
pub(in crate::kernels::amx) fn is_caught() -> bool {
    IS_CAUGHT.load(Ordering::Relaxed)
}

/// From now on, instructions that the processor does not know are handled here.
fn catch() {
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) = handle;
    #[expect(unsafe_code, reason = "there is no safe way to handle signals")]
    // SAFETY: all zeros are an action without flags and with an empty mask; the handler is a function of the
    // kind that the flag says.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()), 0);
    }
    IS_CAUGHT.store(true, Ordering::Relaxed);
}

/// Does what the instruction asks for and goes on after it; what it is not about ends the process.
extern "C" fn handle(_: i32, _: *mut libc::siginfo_t, context: *mut c_void) {
    #[expect(
        unsafe_code,
        reason = "registers and code of a stopped thread are reached by pointers"
    )]
    // SAFETY: the kernel passes the context of this thread, which nothing else uses now. Instructions are at
    // most 15 bytes long, and at least so much follows in the program's code; the tiles belong to this
    // thread, which was stopped at an instruction of ours and not while it was using them.
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        let registers = &mut context.uc_mcontext.gregs;
        let at = registers[index(libc::REG_RIP)];
        let code = std::slice::from_raw_parts(pointer(at).cast::<u8>(), 15);
        let done = THREAD.with(|thread| {
            let instruction = Instruction::read(code, registers)?;
            instruction.run(&mut *thread.get())?;
            Some(instruction.length)
        });
        match done {
            Some(length) => {
                CAUGHT.fetch_add(1, Ordering::Relaxed);
                registers[index(libc::REG_RIP)] = at + length.cast_signed() as i64;
            }
            None => {
                libc::signal(libc::SIGILL, libc::SIG_DFL);
            }
        }
    }
}

fn index(register: libc::c_int) -> usize {
    usize::try_from(register).expect("registers have numbers")
}

/// The address in a register.
fn pointer(address: i64) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(usize::try_from(address).expect("addresses are small"))
}

/// An instruction of a tile, encoded with a VEX prefix of three bytes.
#[derive(Debug)]
struct Instruction {
    /// The last byte of the prefix but for its operand, and the operation.
    kind: (u8, u8),
    /// Tiles: in the fields "reg", "rm" and "vvvv".
    tiles: [usize; 3],
    /// The first byte that it reads or writes, and bytes from one row to the next.
    memory: Option<(i64, i64)>,
    length: usize,
}

impl Instruction {
    /// Volume 2 of Intel's manual, "Instruction format" and "Intel AVX instructions".
    fn read(code: &[u8], registers: &[i64; 23]) -> Option<Self> {
        const REGISTERS: [libc::c_int; 16] = [
            libc::REG_RAX,
            libc::REG_RCX,
            libc::REG_RDX,
            libc::REG_RBX,
            libc::REG_RSP,
            libc::REG_RBP,
            libc::REG_RSI,
            libc::REG_RDI,
            libc::REG_R8,
            libc::REG_R9,
            libc::REG_R10,
            libc::REG_R11,
            libc::REG_R12,
            libc::REG_R13,
            libc::REG_R14,
            libc::REG_R15,
        ];
        // The map of operations 0F 38, no wide operand, vectors of 128 bits.
        let is_ours = code[0] == 0xc4 && code[1] & 0x1f == 2 && code[2] & 0x84 == 0;
        if !is_ours {
            return None;
        }
        let [high_index, high_base] =
            [0x40, 0x20].map(|bit| if code[1] & bit == 0 { 8 } else { 0 });
        let register =
            |number: u8, high: usize| registers[index(REGISTERS[usize::from(number & 7) + high])];
        let (mode, rm) = (code[4] >> 6, code[4] & 7);
        let tiles = [code[4] >> 3 & 7, rm, !code[2] >> 3 & 15].map(usize::from);
        let kind = (code[2] & 3, code[3]);
        if mode == 3 {
            return Some(Self { kind, tiles, memory: None, length: 5 });
        }
        let has_pair = rm == 4;
        let after = if has_pair { 6 } else { 5 };
        let (base, step) = if has_pair {
            let (scale, number, base) = (code[5] >> 6, code[5] >> 3 & 7, code[5] & 7);
            let none = number == 4 && high_index == 0;
            (base, if none { 0 } else { register(number, high_index) << scale })
        } else {
            (rm, 0)
        };
        let (offset, length) = match mode {
            0 if base == 5 => {
                (i64::from(i32::from_le_bytes(*code[after..].first_chunk()?)), after + 4)
            }
            0 => (0, after),
            1 => (i64::from(code[after].cast_signed()), after + 1),
            _ => (i64::from(i32::from_le_bytes(*code[after..].first_chunk()?)), after + 4),
        };
        let from = match (mode, base, has_pair) {
            // Without a register, and relative to the next instruction.
            (0, 5, true) => 0,
            (0, 5, false) => registers[index(libc::REG_RIP)] + length.cast_signed() as i64,
            _ => register(base, high_base),
        };
        Some(Self { kind, tiles, memory: Some((from + offset, step)), length })
    }

    /// Does it, if it is one that we know and that may be done.
    fn run(&self, thread: &mut Thread) -> Option<()> {
        let file = &mut thread.file;
        // As the prefixes stand for: none, 66, F3 and F2.
        match (self.kind, self.memory) {
            ((0, 0x49), Some((shapes, 0))) => {
                thread.is_configured = (0..64).all(|at| {
                    let expected = match at {
                        0 => 1,
                        16..32 if at % 2 == 0 => 64,
                        48..56 => 16,
                        _ => 0,
                    };
                    byte(shapes + at) == expected
                });
                *file = File::ZERO;
                return thread.is_configured.then_some(());
            }
            ((0, 0x49), None) if self.tiles[0] == 0 && self.tiles[1] == 0 => {
                *thread = Thread { file: File::ZERO, is_configured: false };
                return Some(());
            }
            _ if !thread.is_configured => return None,
            ((3, 0x49), None) if self.tiles[1] == 0 => file.0[self.tiles[0]] = [[0; 16]; 16],
            ((3, 0x4b), Some((from, step))) => {
                each_word(&mut file.0[self.tiles[0]], (from, step), |word, at| *word = read(at));
            }
            ((2, 0x4b), Some((to, step))) => {
                each_word(&mut file.0[self.tiles[0]], (to, step), |word, at| write(at, *word));
            }
            ((2, 0x5c), None) => {
                let [sum, left, right] = self.tiles;
                if right > 7 || sum == left || sum == right || left == right {
                    return None;
                }
                file.multiply(sum, left, right);
            }
            _ => return None,
        }
        Some(())
    }
}

/// Calls `run` with each word of a tile and its address.
fn each_word(tile: &mut [[u32; 16]; 16], (from, step): (i64, i64), run: impl Fn(&mut u32, i64)) {
    for (row, words) in (0..).zip(tile) {
        for (column, word) in (0..).zip(words) {
            run(word, from + row * step + 4 * column);
        }
    }
}

fn byte(at: i64) -> u8 {
    #[expect(unsafe_code, reason = "what an instruction reads")]
    // SAFETY: the instruction that stands at the signal would read it.
    unsafe {
        pointer(at).cast::<u8>().read()
    }
}

fn read(at: i64) -> u32 {
    #[expect(unsafe_code, reason = "what an instruction reads")]
    // SAFETY: the instruction that stands at the signal would read it.
    unsafe {
        pointer(at).cast::<u32>().read_unaligned()
    }
}

fn write(at: i64, word: u32) {
    #[expect(unsafe_code, reason = "what an instruction writes")]
    // SAFETY: the instruction that stands at the signal would write it.
    unsafe {
        pointer(at).cast::<u32>().write_unaligned(word);
    }
}
