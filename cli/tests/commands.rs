//! The command as its users meet it: arguments in; output, messages and exit status out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// `weft` with arguments.
fn weft(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.args(arguments);
    command
}

/// Runs `weft` and says how it ended.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = weft(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Writes a file and runs a command on it.
fn run_on(command: &str, contents: &[u8]) -> (Option<i32>, String, String) {
    let mut file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    file.write_all(contents).unwrap();
    run(&[command, file.path().to_str().unwrap(), "--json"])
}

#[test]
fn the_example_is_judged_valid_and_says_so_in_every_field() {
    let (status, stdout, stderr) = run(&["execute", "--json", "--threads", "2"]);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    let line: Value = serde_json::from_str(&stdout).unwrap();
    let fields: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        fields.join(" "),
        "file valid error output new_payload_request_root chain_id block_number block_hash state_root \
         receipts_root gas_used txs engine threads stages_us executions aborts counters"
    );
    assert_eq!((&line["valid"], &line["txs"]), (&true.into(), &400.into()));
    let output = line["output"].as_str().unwrap();
    assert_eq!(output.len(), 2 + 2 * 43);
    assert_eq!(&output[..66], line["new_payload_request_root"], "the root comes first");
    assert_eq!(&output[66..68], "01", "then whether the block is valid");
}

#[test]
fn the_example_is_the_same_on_every_engine() {
    let judged = |arguments: &[&str]| {
        let (_, stdout, _) = run(&[&["execute", "--json"], arguments].concat());
        let mut line: Value = serde_json::from_str(&stdout).unwrap();
        for field in ["stages_us", "executions", "aborts", "counters", "engine", "threads"] {
            line.as_object_mut().unwrap().remove(field);
        }
        line
    };
    let expected = judged(&["--engine", "sequential"]);
    for threads in ["1", "2", "3", "8"] {
        assert_eq!(judged(&["--threads", threads]), expected);
    }
    for recover in ["auto", "libsecp256k1"] {
        assert_eq!(judged(&["--recover", recover]), expected);
    }
}

#[test]
fn a_simulation_says_that_it_is_one_and_how_fast_the_example_would_be() {
    let recover = ["--recover", "libsecp256k1"];
    let (status, stdout, stderr) =
        run(&[&["simulate", "--threads", "1,4", "--rounds", "1"], &recover[..]].concat());
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("simulated speed-up"), "{stdout}");
    let arguments = ["simulate", "--threads", "1,4,32", "--rounds", "1", "--seed", "7", "--json"];
    let (status, stdout, stderr) = run(&arguments);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    let line: Value = serde_json::from_str(&stdout).unwrap();
    let simulated = line["simulated"].as_array().unwrap();
    assert_eq!((&line["txs"], &line["seed"], simulated.len()), (&400.into(), &7.into(), 3));
    assert_eq!(simulated[0]["speedup"], 1.0, "one core is the loop in order");
    for prediction in simulated {
        let number = |name: &str| prediction[name].as_f64().unwrap();
        assert!(number("speedup") > 0.0 && number("speedup") <= number("threads"), "{prediction}");
        assert!(number("executions_per_tx") >= 1.0, "{prediction}");
    }
}

#[test]
fn a_simulation_of_what_cannot_be_read_is_status_2() {
    let (status, stdout, stderr) = run_on("simulate", b"no block");
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("input"), "{stderr}");
}

#[test]
fn lanes_recover_the_same_or_are_refused() {
    let (status, stdout, stderr) = run(&["execute", "--json", "--recover", "ifma"]);
    if weft_engine::Recovery::Ifma.is_available() {
        assert_eq!((status, stdout.lines().count()), (Some(0), 1), "{stderr}");
    } else {
        assert_eq!(status, Some(2));
        assert!(stderr.contains("--recover ifma: this processor has no AVX-512 IFMA"), "{stderr}");
    }
}

#[test]
fn what_does_not_decode_is_status_2_with_the_sentinel() {
    let inputs: [&[u8]; 6] = [
        b"\x15\x01nothing that decodes",
        b"",
        b"0xzz",
        b"{",
        br#"{"block": 1}"#,
        br#"{"chainId": 7, "block": "0x", "witness": {"state": [], "codes": []}}"#,
    ];
    for input in inputs {
        let (status, stdout, stderr) = run_on("execute", input);
        assert_eq!(status, Some(2));
        assert!(stderr.contains("input: "), "{stderr}");
        let line: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(line["valid"], false);
        assert!(line["error"].as_str().unwrap().starts_with("input: "));
        assert_eq!(line["output"], format!("0x{}", "00".repeat(43)));
    }
}

#[test]
fn a_file_that_is_not_there_is_status_2_and_the_others_are_judged() {
    let (status, stdout, stderr) = run(&["execute", "--json", "no/such/file", "nor/this"]);
    assert_eq!((status, stdout.lines().count()), (Some(2), 2));
    assert!(stderr.contains("no/such/file: ") && stderr.contains("nor/this: "), "{stderr}");
}

#[test]
fn more_threads_than_make_sense_are_refused() {
    for threads in ["0", "1025", "18446744073709551616", "two"] {
        let (status, _, stderr) = run(&["execute", "--threads", threads]);
        assert_eq!(status, Some(2), "{threads}");
        assert!(stderr.contains("a number from 1 to 1024"), "{stderr}");
    }
}

#[test]
fn a_message_about_json_is_short() {
    let state =
        format!(r#"{{"chainId": 1, "block": "0x00", "witness": {{"state": "0x{}"}}}}"#, "zz".repeat(100_000));
    let (status, _, stderr) = run_on("execute", state.as_bytes());
    assert_eq!(status, Some(2));
    assert!(stderr.len() < 1_000, "{} bytes", stderr.len());
}

#[test]
fn blocktest_without_a_test_is_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let (status, stdout, stderr) = run(&["blocktest", folder.path().to_str().unwrap()]);
    assert_eq!((status, stdout.as_str()), (Some(2), "0 passed, 0 failed, 0 skipped\n"));
    assert!(stderr.contains("no test found"), "{stderr}");
}

#[test]
fn a_file_that_unpacks_without_end_is_refused() {
    let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..1_025 {
        packed.write_all(&zeros).unwrap();
    }
    let (status, _, stderr) = run_on("execute", &packed.finish().unwrap());
    assert_eq!(status, Some(2));
    assert!(stderr.contains("more than 16777216 bytes, unpacked from "), "{stderr}");
}

#[test]
fn json_of_another_kind_is_status_2() {
    for command in ["execute", "replay"] {
        let (status, _, stderr) = run_on(command, br#"{"block": 1}"#);
        assert_eq!(status, Some(2), "{command}");
        assert!(stderr.contains("JSON: "), "{stderr}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command_without_a_panic() {
    let files = vec!["no/such/file"; 5_000];
    let arguments = [&["execute", "--json"], &files[..]].concat();
    let mut child = weft(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn blocktest_counts_what_fails_and_what_is_skipped() {
    let test = |network: &str, genesis: &str| {
        format!(r#"{{"network": "{network}", "genesisRLP": "{genesis}", "pre": {{}}, "blocks": []}}"#)
    };
    let tests = format!(
        r#"{{"bad": {}, "odd": {}, "state": {{"env": {{}}}}}}"#,
        test("Cancun", "0x01"),
        test("Atlantis", "0xc0")
    );
    let (status, stdout, stderr) = run_on("blocktest", tests.as_bytes());
    assert_eq!(status, Some(1));
    assert!(stderr.ends_with("0 passed, 1 failed, 2 skipped\n"), "{stderr}");
    assert!(stderr.contains("FAILED bad: genesis: "), "{stderr}");
    assert!(stderr.contains("skipped 1: network Atlantis is not known"), "{stderr}");
    assert_eq!(stdout.lines().count(), 3);
}

/// Runs all tests of an archive and demands that there be some and that all pass.
fn all_pass(archive: &Path, threads: &str) {
    let (status, stdout, stderr) = run(&["blocktest", archive.to_str().unwrap(), "--threads", threads]);
    assert_eq!(status, Some(0), "{stderr}");
    let passed: u32 = stdout.split(' ').next().unwrap().parse().unwrap();
    assert!(passed > 300 && stdout.ends_with(" passed, 0 failed, 0 skipped\n"), "{stdout}");
}

/// Runs the archives whose name begins like this; if there is data, there is at least one.
fn archives_pass(prefix: &str, threads: &str) {
    let Some(folder) = weft_tests::folder("eest") else { return };
    let archives = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let archives: Vec<_> =
        archives.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix)).collect();
    assert!(!archives.is_empty(), "no archive {prefix}*");
    for archive in archives {
        all_pass(&archive, threads);
    }
}

#[test]
fn the_blockchain_tests_of_prague_and_osaka_pass() {
    archives_pass("for_", "1,2,3,8");
}

/// Blocks of 30 million gas and more, each of one kind of work.
#[test]
fn the_benchmark_tests_pass() {
    archives_pass("benchmark", "2");
}
