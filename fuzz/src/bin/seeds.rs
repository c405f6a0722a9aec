//! Makes the first inputs out of real traffic: `seeds FOLDER` writes them below FOLDER, a folder for each target.

// It is built as the targets are, whose code calls libFuzzer.
use libfuzzer_sys as _;
use servicebus_core::storage::Heap;
use servicebus_core::time::Duration;
use servicebus_fuzz::{Board, Names, scene, script, world};
use servicebus_simulation::Server;
use servicebus_tests::model::steps::Sequence;
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::{env, fs};

/// What was said in a scene.
#[derive(Default)]
struct Traffic {
    /// To the client, each so long after the one before; the first after the connection was opened.
    to_client: Vec<(Duration, Vec<u8>)>,
    to_emulator: Vec<u8>,
}

fn traffic<S: Names>() -> Traffic {
    let world = world();
    let traffic = Rc::new(RefCell::new(Traffic::default()));
    let (to_client, to_emulator) = (Rc::clone(&traffic), Rc::clone(&traffic));
    let place = world.clone();
    let mut last = None;
    world.set_tamper(move |bytes| {
        let now = place.clock().now;
        let wait = last.map_or(Duration::from_millis(1), |last| now.saturating_duration_since(last));
        last = Some(now);
        to_client.borrow_mut().to_client.push((wait, bytes.clone()));
    });
    world.set_tamper_to_emulator(move |bytes| to_emulator.borrow_mut().to_emulator.extend_from_slice(bytes));
    let client = world.client::<S>();
    world.run(async move {
        scene(&client).await.expect("the scene goes well");
        client.close().await;
    });
    world.end();
    traffic.take()
}

/// Somebody who says the same at the same times is as good as the emulator, as long as the client is the same.
fn replay<S: Names>(lines: Vec<(Duration, Vec<u8>)>) {
    let world = world();
    world.set_server(Server::SendsInSteps(lines));
    let client = world.client::<S>();
    world.run(async move { scene(&client).await.expect("the scene goes well again") });
    world.end();
}

/// One text for each kind, as the target takes them: the kind is its last byte.
const TEXTS: &[(u8, &str)] = &[
    (0, "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=a=;EntityPath=q"),
    (0, "Endpoint=sb://localhost:5672;SharedAccessSignature=SharedAccessSignature sr=a;UseDevelopmentEmulator=true"),
    (1, "SharedAccessSignature sr=sb%3A%2F%2Flocalhost%2Fq&sig=AAAA&se=1000000000&skn=name"),
    (2, "sys.Label LIKE 'a\\%b' ESCAPE '\\' AND (price * 2 >= 10 OR NOT EXISTS(user.x)) AND n IN (1, 2, -3.5e1)"),
    (2, "color IS NOT NULL AND newid() <> 'x' AND p('a b') = TRUE"),
    (3, "SET a = 1 + b; SET sys.Label = 'x'; REMOVE c; SET [d e] = newid()"),
    (4, "P1DT2H3M4.5S"),
    (
        4,
        r#"{ "UserConfig": { "Namespaces": [ { "Name": "sbemulatorns", "Queues": [ { "Name": "q", "Properties": {
        "LockDuration": "PT1M" } } ], "Topics": [ { "Name": "t", "Subscriptions": [ { "Name": "s", "Rules": [ { "Name":
        "r", "Properties": { "FilterType": "Sql", "SqlFilter": { "SqlExpression": "a = 1" } } } ] } ] } ] } ] } }"#,
    ),
    (
        5,
        r#"<feed xmlns="http://www.w3.org/2005/Atom"><entry><title type="text">q</title><content
        type="application/xml"><QueueDescription
        xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"><LockDuration>PT1M</LockDuration>
        <CountDetails xmlns:d="http://schemas.microsoft.com/netservices/2011/06/servicebus"><d:ActiveMessageCount>1
        </d:ActiveMessageCount></CountDetails></QueueDescription></content></entry></feed>"#,
    ),
    (6, "q?api-version=2021-05"),
    (6, "$Resources/queues?$skip=0&$top=100&api-version=2021-05"),
    (6, "D/q?api-version=2021-05"),
    (
        6,
        r#"Pq2?api-version=2021-05
<entry xmlns="http://www.w3.org/2005/Atom"><content type="application/xml"><QueueDescription
xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"><LockDuration>PT1M</LockDuration>
<RequiresSession>true</RequiresSession></QueueDescription></content></entry>"#,
    ),
];

fn write(folder: &Path, target: &str, name: &str, bytes: &[u8]) {
    let folder = folder.join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), bytes).expect("a file");
}

fn main() {
    let folder = env::args().nth(1).expect("the folder for the inputs");
    let folder = Path::new(&folder);
    replay::<Heap>(traffic::<Heap>().to_client);
    replay::<Board>(traffic::<Board>().to_client);
    for (name, traffic) in [("heap", traffic::<Heap>()), ("board", traffic::<Board>())] {
        write(folder, "client", name, &script::write(&traffic.to_client));
        write(folder, "broker", name, &traffic.to_emulator);
        // Behind the header of the protocol.
        let to_client: Vec<u8> = traffic.to_client.into_iter().flat_map(|(_, bytes)| bytes).collect();
        write(folder, "wire", &format!("{name}-to-client"), to_client.get(8..).unwrap_or_default());
        write(folder, "wire", &format!("{name}-to-emulator"), traffic.to_emulator.get(8..).unwrap_or_default());
    }
    for (number, (kind, text)) in TEXTS.iter().enumerate() {
        write(folder, "text", &number.to_string(), &[&[*kind], text.as_bytes()].concat());
    }
    write(folder, "recovery", "calm", &[0; 16]);
    write(folder, "device_tls", "calm", &[0; 16]);
    // Enough for several worlds of each kind.
    for seed in 0..32 {
        write(folder, "model", &seed.to_string(), &Sequence::bytes_of_seed(seed, 60));
    }
}
