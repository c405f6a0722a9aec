//! Fixed work to count instructions of: `tests/run instructions` compares them with `benchmarks/instructions.tsv`.
//!
//! ```text
//! instructions --list          names the figures
//! instructions FIGURE COUNT    does the figure's work for COUNT messages
//! ```
//!
//! Callgrind counts only inside of [`counted`] (`--toggle-collect=*counted*`). Twice COUNT less COUNT, divided by COUNT,
//! is what one message costs. There is no socket, no clock and no randomness: hash maps get their seeds from
//! [`getrandom`] below.

mod scene;
mod shapes;

use scene::{Part, Phase};

/// The figures, in the order in which they are printed.
const FIGURES: &[(&str, Work)] = &[
    ("encode-performatives", Work::Shape(shapes::encode_performatives)),
    ("decode-performatives", Work::Shape(shapes::decode_performatives)),
    ("encode-message", Work::Shape(shapes::encode_message)),
    ("decode-message", Work::Shape(shapes::decode_message)),
    ("servicebus-batch", Work::Shape(shapes::fill_batch)),
    ("servicebus-received", Work::Shape(shapes::read_received)),
    ("client-send", Work::Scene(Phase::Send, Part::Client)),
    ("client-send-batch", Work::Scene(Phase::SendBatch, Part::Client)),
    ("client-receive", Work::Scene(Phase::Receive, Part::Client)),
    ("client-settle", Work::Scene(Phase::Settle, Part::Client)),
    ("emulator-send", Work::Scene(Phase::Send, Part::Broker)),
    ("emulator-send-batch", Work::Scene(Phase::SendBatch, Part::Broker)),
    ("emulator-receive", Work::Scene(Phase::Receive, Part::Broker)),
    ("emulator-settle", Work::Scene(Phase::Settle, Part::Broker)),
];

enum Work {
    /// A loop over one function.
    Shape(fn(u32)),
    /// A client and a broker, of which one part is counted in one phase.
    Scene(Phase, Part),
}

/// Callgrind counts what runs in here, and nothing else.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    // Not the last call: a jump to it would leave this function too early.
    std::hint::black_box(());
}

/// The standard library's source of randomness, which seeds its hash maps: the same in every run.
///
/// # Safety
/// As of the system's function: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller's promise.
    unsafe { buffer.write_bytes(0x5a, length) };
    length.cast_signed()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => FIGURES.iter().for_each(|(name, _)| println!("{name}")),
        [name, count] => {
            let (_, work) = FIGURES.iter().find(|(known, _)| *known == name).expect("a figure that --list names");
            let count = count.parse().expect("a number");
            match work {
                Work::Shape(run) => run(count),
                Work::Scene(phase, part) => scene::run(*phase, *part, count),
            }
        }
        _ => {
            eprintln!("instructions --list | FIGURE COUNT");
            std::process::exit(2);
        }
    }
}
