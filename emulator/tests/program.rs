//! The emulator's program: options, signals, certificate, metrics, memory.
#![cfg(feature = "binary")]

use servicebus_tests::fault::Judge;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_servicebus-emulator"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    command
}

/// Ends the program when a test does.
struct Running(Child, String);

impl Running {
    /// Starts the program and waits for its first line.
    fn start(arguments: &[&str]) -> Self {
        let mut child = program(&["--amqp-port", "0", "--admin-port", "0"]).args(arguments).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.starts_with("ready "), "{ready}");
        Self(child, ready)
    }

    fn port(&self, name: &str) -> u16 {
        let address = self.1.split_whitespace().find_map(|part| part.strip_prefix(name)).unwrap();
        address.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The exit status, or `None` when the program still runs after ten seconds.
    fn ended(&mut self) -> Option<ExitStatus> {
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            match self.0.try_wait().unwrap() {
                Some(status) => return Some(status),
                None if Instant::now() >= limit => return None,
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// The output of a run that has to end by itself.
fn output(arguments: &[&str]) -> Output {
    let mut child = program(arguments).spawn().unwrap();
    let limit = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() >= limit {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn the_program_ends_cleanly_on_a_signal_n8() {
    let mut judge = Judge::new();
    for (signal, arguments, connected) in [
        ("-TERM", &[][..], false),
        ("-TERM", &["--tls-port", "0"], false),
        ("-TERM", &["--host", "127.0.0.1"], false),
        ("-TERM", &[], true),
        ("-INT", &[], false),
        ("-INT", &[], true),
    ] {
        let mut running = Running::start(arguments);
        let _socket = connected.then(|| TcpStream::connect(("127.0.0.1", running.port("amqp="))).unwrap());
        running.signal(signal);
        let status = running.ended().map(|status| (status.code(), status.signal()));
        // SIGINT ends it by force too when it comes before the handler is installed.
        judge.case(
            format!("{signal} {arguments:?} connected: {connected}"),
            status,
            |status| *status == Some((Some(0), None)),
            |status| matches!(status, Some((None, Some(15 | 2)))),
        );
    }
    judge.finish();
}

#[test]
fn the_program_prints_its_version_n18() {
    let mut judge = Judge::of_few(2, "an option has two forms");
    for argument in ["--version", "-V"] {
        let output = output(&[argument]);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        judge.case(
            argument,
            (output.status.success(), out, err),
            |(success, out, _)| *success && out.contains(env!("CARGO_PKG_VERSION")),
            |(success, _, err)| !success && err.contains("invalid option"),
        );
    }
    judge.control("--versions", output(&["--versions"]).status.success(), |success| !success);
    judge.finish();
}

#[test]
fn the_program_takes_a_log_filter_n18() {
    let mut judge = Judge::of_few(3, "there are three options");
    // With `--help` behind it, an option that is known is not an error.
    for arguments in [&["-v", "--help"][..], &["-q", "--help"], &["--log", "info", "--help"]] {
        let output = output(arguments);
        let err = String::from_utf8(output.stderr).unwrap();
        judge.case(
            arguments.join(" "),
            (output.status.success(), err),
            |(success, _)| *success,
            |(success, err)| !success && err.contains("invalid option"),
        );
    }
    judge.finish();
}

/// The status line of a GET to the management port.
fn status_line(port: u16, path: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn metrics_and_health_can_be_read_n18() {
    let running = Running::start(&[]);
    let mut judge = Judge::of_few(4, "there are four paths");
    for path in ["/$emulator/metrics", "/metrics", "/$emulator/health", "/health"] {
        judge.case(
            path,
            status_line(running.port("admin="), path),
            |line| line.contains(" 200 "),
            |line| line.contains(" 401 ") || line.contains(" 404 "),
        );
    }
    judge.finish();
}

#[test]
fn both_connection_strings_are_printed_c21() {
    let mut judge = Judge::of_few(4, "the options that change what is printed");
    for arguments in [&[][..], &["--tls-port", "0"], &["--host", "127.0.0.1"], &["--host", "localhost"]] {
        let mut child = program(&["--amqp-port", "0", "--admin-port", "0"]).args(arguments).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        output.read_line(&mut ready).unwrap();
        // All lines are written at once.
        _ = child.kill();
        child.wait().unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        let address = ready.split_whitespace().find_map(|part| part.strip_prefix("admin=")).unwrap();
        let port = address.rsplit_once(':').unwrap().1;
        let endpoints: Vec<&str> = rest.lines().filter(|line| line.starts_with("Endpoint=")).collect();
        judge.case(
            format!("{arguments:?}"),
            (endpoints.len(), endpoints.iter().any(|line| line.contains(port))),
            |printed| *printed == (2, true),
            |printed| *printed == (1, false),
        );
    }
    judge.finish();
}

#[test]
fn the_certificate_can_be_written_to_a_file_n7() {
    let file = std::env::temp_dir().join(format!("servicebus-certificate-{}.pem", std::process::id()));
    let mut judge = Judge::of_few(2, "a certificate is written, or it is not");
    for host in ["127.0.0.1", "localhost"] {
        let mut child = program(&["--amqp-port", "0", "--admin-port", "0", "--tls-port", "0", "--host", host])
            .arg("--write-certificate")
            .arg(&file)
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        // It ends by itself where it does not know the option.
        _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        _ = std::fs::remove_file(&file);
        judge.case(
            host,
            (ready, written, errors),
            |(ready, written, _)| ready.starts_with("ready ") && written.starts_with("-----BEGIN CERTIFICATE-----"),
            |(_, written, errors)| written.is_empty() && errors.contains("invalid option '--write-certificate'"),
        );
    }
    judge.finish();
}

/// The program without anything captured.
fn plain() -> Command {
    Command::new(env!("CARGO_BIN_EXE_servicebus-emulator"))
}

#[test]
#[ignore = "tests/run all: wall clock"]
fn the_binary_is_ready_in_under_50_milliseconds() {
    // With a port of every kind and a certificate made on the spot. The best of some starts counts: the others measure
    // what else the machine has to do.
    let start = || {
        let started = Instant::now();
        let mut child = plain()
            .args(["--amqp-port", "0", "--tls-port", "0", "--admin-port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ready = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        let waited = started.elapsed();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ready.starts_with("ready "), "{ready}");
        waited
    };
    let best = (0..10).map(|_| start()).min().unwrap();
    assert!(best < Duration::from_millis(50), "ready after {best:?}");
}

#[test]
fn the_binary_says_when_it_is_ready_and_where() {
    let mut child = plain()
        .args(["--amqp-port", "0", "--tls-port", "0", "--admin-port", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.next().unwrap().unwrap();
    let text = lines.next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let parts: Vec<&str> = ready.split(' ').collect();
    assert_eq!(parts[0], "ready");
    let port = parts[1].strip_prefix("amqp=127.0.0.1:").unwrap();
    assert!(parts[2].starts_with("tls=127.0.0.1:"));
    assert!(text.contains(&format!("Endpoint=sb://localhost:{port};")), "{text}");
}

#[test]
fn the_binary_names_what_is_wrong_with_its_configuration() {
    let path = std::env::temp_dir().join(format!("servicebus-emulator-{}.json", std::process::id()));
    std::fs::write(&path, "{ \"UserConfig\": { \"Namespaces\": [ { \"Queue\": [] } ] } }").unwrap();
    let output = plain().args(["--amqp-port", "0", "--config"]).arg(&path).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("UserConfig.Namespaces[0].Queue: this key is not known"), "{error}");
    let output = plain().arg("--port").output().unwrap();
    assert!(!output.status.success());
}

#[test]
fn the_binary_names_the_file_of_what_the_broker_refuses() {
    let path = std::env::temp_dir().join(format!("servicebus-emulator-entities-{}.json", std::process::id()));
    let queue = "{ \"Name\": \"q\", \"Properties\": { \"ForwardTo\": \"nowhere\" } }";
    std::fs::write(&path, format!("{{ \"UserConfig\": {{ \"Namespaces\": [ {{ \"Queues\": [{queue}] }} ] }} }}"))
        .unwrap();
    let output = output(&["--amqp-port", "0", "--admin-port", "0", "--config", path.to_str().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&format!("{}: q: The autoforwarding destination", path.display())), "{error}");
}

#[test]
fn the_binary_names_the_option_whose_value_is_wrong() {
    for (arguments, message) in [
        (["--amqp-port", "abc"], "--amqp-port: 'abc' is not a port"),
        (["--admin-port", "65536"], "--admin-port: '65536' is not a port"),
        (["--tls-port", "-1"], "--tls-port: '-1' is not a port"),
        (["--tier", "gold"], "--tier: 'gold' is neither standard nor premium"),
        (["--memory", "1"], "--memory: '1' is less than 1M, too little to serve clients"),
        (["--memory", "1023K"], "--memory: '1023K' is less than 1M"),
        (["--unsigned-tokens", "maybe"], "--unsigned-tokens: 'maybe' is neither accept nor refuse"),
        (["--namespace", ""], "--namespace: '' cannot be the name of a namespace"),
        (["--namespace", "two words"], "--namespace: 'two words' cannot be the name of a namespace"),
        (["--namespace", "127.0.0.1"], "--namespace: '127.0.0.1' cannot be the name of a namespace"),
    ] {
        let free = ["--amqp-port", "0", "--admin-port", "0"];
        let output = output(&[&free[..], &arguments].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(message), "{arguments:?}: {error}");
    }
}

/// The least memory is enough for a client that is content with little.
#[test]
fn a_client_gets_in_where_memory_is_as_little_as_can_be() {
    let running = Running::start(&["--memory", "1M"]);
    let mut socket = TcpStream::connect(("127.0.0.1", running.port("amqp="))).unwrap();
    socket.write_all(b"AMQP\x03\x01\x00\x00").unwrap();
    let mut header = [0; 8];
    socket.read_exact(&mut header).unwrap();
    assert_eq!(&header, b"AMQP\x03\x01\x00\x00");
    assert!(status_line(running.port("admin="), "/health").contains(" 200 "));
}

#[test]
fn the_log_has_a_line_for_connections_and_refusals_and_no_key() {
    for (arguments, shown, hidden) in [
        (&[][..], &["connected", "refused"][..], &["management"][..]),
        (&["-v"], &["connected", "refused", "management"], &[]),
        (&["-q"], &[], &["connected", "refused", "management"]),
        (&["--log", "off"], &[], &["connected", "refused", "management"]),
    ] {
        let mut running = Running::start(arguments);
        let port = running.port("amqp=");
        // A body of a connection that is no AMQP, and requests with and without a right.
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.write_all(&[0xff; 16]).unwrap();
        _ = socket.read_to_end(&mut Vec::new());
        assert!(status_line(port, "/none").contains(" 401 "));
        running.signal("-TERM");
        assert!(running.ended().is_some());
        let mut log = String::new();
        running.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        for word in shown {
            assert!(log.contains(word), "{arguments:?} {word}: {log}");
        }
        for word in hidden.iter().chain(&["SAS_KEY_VALUE"]) {
            assert!(!log.contains(word), "{arguments:?} {word}: {log}");
        }
    }
    let refused = output(&["--log", "servicebus_emulator=loud"]);
    assert!(!refused.status.success());
}

/// Bytes of the program that are resident.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn resident(running: &Running) -> usize {
    let pages = std::fs::read_to_string(format!("/proc/{}/statm", running.0.id())).unwrap();
    4_096 * pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
}

/// So many messages are sent, wait together, and are received: resident bytes before, with all of them, and two seconds
/// later.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn memory_of(count: usize, deletes: bool) -> (usize, usize, usize) {
    use servicebus_tokio::{Message, ReceiveMode, ReceiverOptions};
    let config = std::env::temp_dir().join(format!("servicebus-emulator-memory-{}-{deletes}.json", std::process::id()));
    let queue = r#"{ "Name": "queue", "Properties": { "LockDuration": "PT5M" } }"#;
    let text =
        format!(r#"{{ "UserConfig": {{ "Namespaces": [ {{ "Name": "sbemulatorns", "Queues": [ {queue} ] }} ] }} }}"#);
    std::fs::write(&config, text).unwrap();
    let running = Running::start(&["-q", "--config", config.to_str().unwrap()]);
    std::fs::remove_file(&config).unwrap();
    let connection_string = format!(
        "Endpoint=sb://localhost:{};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;\
         UseDevelopmentEmulator=true",
        running.port("amqp=")
    );
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let client = servicebus_tokio::connect(&connection_string).unwrap();
        let sender = client.sender("queue").unwrap();
        let mode = if deletes { ReceiveMode::ReceiveAndDelete } else { ReceiveMode::PeekLock };
        let receiver = client.receiver(ReceiverOptions::new("queue").with_mode(mode)).unwrap();
        let round = async |count: usize| {
            let messages: Vec<Message> = (0..500).map(|_| Message::new(vec![7; 500])).collect();
            for _ in 0..count / 500 {
                sender.send_all(&messages).await.unwrap();
            }
            let waiting = resident(&running);
            let mut received = 0;
            while received < count {
                let messages = receiver.receive_messages(1_000, Duration::from_secs(10)).await.unwrap();
                assert!(!messages.is_empty(), "{received} of {count}");
                received += messages.len();
                if !deletes {
                    let settled = messages.iter().map(|message| receiver.complete(message));
                    for settled in futures_util::future::join_all(settled).await {
                        settled.unwrap();
                    }
                }
            }
            waiting
        };
        // Tables and threads get their first size.
        round(1_000).await;
        let start = resident(&running);
        let waiting = round(count).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let behind = resident(&running);
        client.close().await;
        (start, waiting, behind)
    })
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn memory_comes_back(count: usize) {
    for deletes in [true, false] {
        let (start, waiting, behind) = memory_of(count, deletes);
        let kept = behind.saturating_sub(start);
        println!(
            "{count} messages, deleted: {deletes}: {start} bytes resident, {waiting} with all, {kept} more behind them"
        );
        assert!(waiting > start + 600 * count, "{start}, {waiting}");
        assert!(kept < (64 << 20).min((waiting - start) / 4), "{kept} of {waiting} bytes stay");
    }
}

/// What messages took goes back to the system.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn resident_memory_comes_back_after_messages() {
    memory_comes_back(30_000);
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[ignore = "tests/run all: full size"]
fn resident_memory_comes_back_after_200_000_messages() {
    memory_comes_back(200_000);
}
