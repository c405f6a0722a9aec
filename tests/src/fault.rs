//! Known faults: tests that state what is right while the code is still wrong.
//!
//! ```
//! use servicebus_tests::fault::Judge;
//! use servicebus_tests::known_fault;
//!
//! #[known_fault("F14")]
//! fn a_session_lock_ends_whatever_credit_is_left_f14() {
//!     let mut judge = Judge::new();
//!     for credit in [1, 2, 10, 100, 1_000] {
//!         let locked_after = 12; // seconds, observed with this much credit
//!         judge.case(credit, locked_after, |seconds| *seconds == 0, |seconds| *seconds > 5);
//!     }
//!     judge.finish();
//! }
//! ```
//!
//! The test's name ends in the row that it states, with or without the mark: `tests/sources/fault_rows.rs` looks each
//! row up by it. A row that can hang runs inside of [`in_a_process!`](crate::in_a_process).

use std::any::Any;
use std::fmt::{Debug, Display};
use std::io::Read as _;
use std::panic::{self, UnwindSafe};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How the failure of a judge begins, and no other failure.
const WRONG: &str = "known wrong result: ";

/// Set in the process that runs a test of its own.
const CHILD: &str = "SERVICEBUS_TEST_PROCESS";

/// Cases of one row, each judged as right or as wrong in the known way.
#[derive(Debug)]
#[must_use = "a judge fails only when it finishes"]
pub struct Judge {
    cases: usize,
    least: usize,
    wrong: Vec<String>,
}

impl Default for Judge {
    fn default() -> Self {
        Self::new()
    }
}

impl Judge {
    /// A judge of at least five cases: one input is an example, several are a kind.
    pub fn new() -> Self {
        Self { cases: 0, least: 5, wrong: Vec::new() }
    }

    /// A judge of fewer cases, where the input has nothing more to vary.
    pub fn of_few(least: usize, why: &'static str) -> Self {
        assert!(!why.is_empty(), "few cases need a reason");
        Self { least, ..Self::new() }
    }

    /// Judges one case: what was observed, whether that is right, and whether it is wrong in the known way.
    ///
    /// # Panics
    /// When the observation is neither, or both.
    pub fn case<T: Debug>(
        &mut self,
        name: impl Display,
        observed: T,
        right: impl FnOnce(&T) -> bool,
        wrong: impl FnOnce(&T) -> bool,
    ) {
        self.cases += 1;
        match (right(&observed), wrong(&observed)) {
            (true, false) => {}
            (false, true) => self.wrong.push(format!("{name}: {observed:?}")),
            (false, false) => panic!("{name}: neither right nor wrong in the known way: {observed:?}"),
            (true, true) => panic!("{name}: both right and wrong: {observed:?}"),
        }
    }

    /// Judges a case by equality.
    ///
    /// # Panics
    /// When what was observed is neither `right` nor `wrong`.
    pub fn equal<T: Debug + PartialEq>(&mut self, name: impl Display, observed: T, right: T, wrong: T) {
        self.case(name, observed, |observed| *observed == right, |observed| *observed == wrong);
    }

    /// Notes a case beside the fault that is right with and without it: it shows that a mending does not go too far.
    /// It is none of the cases that are counted.
    ///
    /// # Panics
    /// When it is not right, mark or no mark.
    pub fn control<T: Debug>(&mut self, name: impl Display, observed: T, right: impl FnOnce(&T) -> bool) {
        assert!(right(&observed), "{name}: right beside the fault, and now: {observed:?}");
    }

    /// Ends the judgement.
    ///
    /// # Panics
    /// When a case was wrong, or when there were too few.
    pub fn finish(self) {
        assert!(self.cases >= self.least, "{} cases, at least {} are wanted", self.cases, self.least);
        if !self.wrong.is_empty() {
            panic!("{WRONG}{} of {} cases: {}", self.wrong.len(), self.cases, self.wrong.join("; "));
        }
    }
}

fn text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<String>() {
        return text;
    }
    payload.downcast_ref::<&str>().copied().unwrap_or_default()
}

/// Runs the body of a test with the mark; `#[known_fault]` calls it.
///
/// # Panics
/// When the body passes, or fails otherwise than by a judge.
pub fn known(row: &str, body: impl FnOnce() + UnwindSafe) {
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    match panic::catch_unwind(body) {
        Ok(()) => panic!("{row} is mended: replace #[known_fault(\"{row}\")] by #[test] and correct the row"),
        Err(payload) => match text(&*payload).strip_prefix(WRONG) {
            Some(cases) => println!("known fault {row}: {cases}"),
            None => panic::resume_unwind(payload),
        },
    }
}

/// The verdict on a test that does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hanging {
    /// The known fault itself.
    IsTheFault,
    /// A failure like any other.
    IsAFailure,
}

/// Runs the rest of a test in a process of its own, with a limit in seconds; a test that can hang takes nothing else
/// with it. `in_a_process!(60, Hanging::IsTheFault, { … })`, or without the middle where hanging is not the fault.
#[macro_export]
macro_rules! in_a_process {
    ($seconds:expr, $body:block) => {
        $crate::in_a_process!($seconds, $crate::fault::Hanging::IsAFailure, $body)
    };
    ($seconds:expr, $hanging:expr, $body:block) => {{
        fn here() {}
        $crate::fault::in_a_process(std::any::type_name_of_val(&here), $seconds, $hanging, || $body)
    }};
}

/// Runs `body` in a process of its own: [`in_a_process!`](crate::in_a_process) names the test.
///
/// # Panics
/// As `body` does in the other process, and when that does not end within `seconds`.
pub fn in_a_process(here: &str, seconds: u64, hanging: Hanging, body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    // CRATE::MODULE::TEST::here, or with the mark CRATE::MODULE::TEST::body::here.
    let name = here.strip_suffix("::here").unwrap_or(here);
    let name = name.strip_suffix("::{{closure}}").unwrap_or(name);
    let name = name.strip_suffix("::body").unwrap_or(name);
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(CHILD, name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process of its own");
    let (out, err) = (child.stdout.take().expect("its output"), child.stderr.take().expect("its errors"));
    let collect = |mut stream: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // The bytes before an error count.
            _ = stream.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let (out, err) = (collect(Box::new(out)), collect(Box::new(err)));
    let limit = Instant::now() + Duration::from_secs(seconds);
    let status = loop {
        match child.try_wait().expect("its state") {
            Some(status) => break Some(status),
            None if Instant::now() >= limit => {
                child.kill().expect("it ends");
                child.wait().expect("it has ended");
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let output = out.join().expect("its output") + &err.join().expect("its errors");
    let Some(status) = status else {
        match hanging {
            Hanging::IsTheFault => panic!("{WRONG}no end within {seconds} s"),
            Hanging::IsAFailure => panic!("no end within {seconds} s:\n{output}"),
        }
    };
    if !status.success() {
        match output.lines().find_map(|line| line.strip_prefix(WRONG)) {
            Some(cases) => panic!("{WRONG}{cases}"),
            None => panic!("failed in a process of its own:\n{output}"),
        }
    }
    assert!(output.contains("1 passed"), "the test {name} was not found by its own name:\n{output}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(body: impl FnOnce() + UnwindSafe) -> Option<String> {
        panic::catch_unwind(body).err().map(|payload| text(&*payload).to_owned())
    }

    fn judged(observed: [u32; 5]) {
        let mut judge = Judge::new();
        for (place, observed) in observed.into_iter().enumerate() {
            judge.equal(place, observed, 1, 2);
        }
        judge.finish();
    }

    #[test]
    fn a_mark_counts_only_while_a_case_is_wrong_in_the_known_way() {
        known("X1", || judged([1, 1, 2, 1, 1]));
        let mended = failure(|| known("X1", || judged([1; 5]))).expect("red as soon as it passes");
        assert!(mended.starts_with("X1 is mended"), "{mended}");
        let other = failure(|| known("X1", || judged([1, 2, 3, 2, 2]))).expect("red for another result");
        assert!(other.starts_with("2: neither right nor wrong"), "{other}");
        assert!(failure(|| known("X1", || panic!("on the way"))).is_some());
    }

    #[test]
    fn a_control_that_is_not_right_is_red_with_the_mark_too() {
        let judged = |control: u32| {
            let mut judge = Judge::of_few(1, "it is about the control");
            judge.equal("the fault", 2, 1, 2);
            judge.control("beside it", control, |control| *control == 1);
            judge.finish();
        };
        known("X1", || judged(1));
        let other = failure(|| known("X1", || judged(2))).expect("red while the fault is there");
        assert!(other.starts_with("beside it: right beside the fault"), "{other}");
    }

    #[test]
    fn one_example_is_no_kind() {
        let few = failure(|| {
            let mut judge = Judge::new();
            judge.equal("one", 2, 1, 2);
            judge.finish();
        });
        assert!(few.is_some_and(|few| few.contains("at least 5")));
    }

    #[test]
    fn without_the_mark_a_wrong_case_is_a_failure() {
        assert!(failure(|| judged([2; 5])).is_some_and(|text| text.contains("5 of 5 cases")));
    }

    #[test]
    fn a_process_of_its_own_passes_results_on() {
        in_a_process!(30, { judged([1; 5]) });
    }

    #[test]
    fn a_process_of_its_own_passes_wrong_results_on() {
        let in_its_process = std::env::var_os(CHILD).is_some();
        let judge = || in_a_process!(30, { judged([2; 5]) });
        if in_its_process {
            return judge();
        }
        let failure = failure(judge).expect("it fails here as well");
        assert!(failure.starts_with("known wrong result: 5 of 5 cases"), "{failure}");
    }

    #[test]
    #[should_panic(expected = "no end within 1 s")]
    fn a_process_of_its_own_is_ended() {
        in_a_process!(1, { std::thread::sleep(Duration::from_secs(60)) });
    }
}
