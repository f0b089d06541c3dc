//! The hub as a program, for scripts: it says where it is, and runs until it is ended.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::thread;

use anyhow::{Context as _, bail};
use sconce_test_hub::Hub;

const USAGE: &str =
    "hub_server [--xet] [--address-file FILE] [--user TOKEN=NAME]… [--fault FAULT]…";

fn main() -> anyhow::Result<()> {
    let mut arguments = env::args().skip(1);
    let (mut xet, mut file, mut users, mut faults) = (false, None, Vec::new(), Vec::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context(USAGE);
        match argument.as_str() {
            "--xet" => xet = true,
            "--address-file" => file = Some(value()?),
            "--user" => users.push(value()?),
            "--fault" => faults.push(value()?.parse()?),
            _ => bail!("{USAGE}"),
        }
    }
    let hub = if xet { Hub::start_with_xet()? } else { Hub::start()? };
    for user in users {
        let (token, name) = user.split_once('=').context(USAGE)?;
        hub.add_user(token, name);
    }
    for fault in faults {
        hub.fail(fault);
    }
    if let Some(file) = file {
        // Whoever waits for the file finds it whole.
        let partial = format!("{file}.partial");
        fs::write(&partial, hub.endpoint())?;
        fs::rename(partial, file)?;
    }
    writeln!(io::stdout(), "{}", hub.endpoint())?;
    loop {
        thread::park();
    }
}
