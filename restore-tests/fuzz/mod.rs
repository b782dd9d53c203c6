//! The cheap part of fuzzing, in every run of the tests: each target decodes the real objects of the fixtures, whatever was found before
//! (`corpus/`), and thousands of mutations of both that are the same in every run.

mod mutate;
mod seeds;
mod targets;

use mutate::{Random, mutate};
use targets::{TARGETS, Target, named};

/// Inputs per target, without its seeds. A configuration takes a hundred times as long as an entry. `HOURGLASS_FUZZ_TIMES` multiplies them.
fn rounds(target: &Target) -> usize {
    let times = std::env::var("HOURGLASS_FUZZ_TIMES").map_or(1, |times| times.parse().expect("HOURGLASS_FUZZ_TIMES is a number"));
    times * if target.name == "config" { 400 } else { 4000 }
}

fn replay(target: &Target, number: usize) {
    let seeds = seeds::seeds(target.name);
    let mut random = Random(number as u64);
    for (number, seed) in seeds.iter().enumerate() {
        told(target, seed, || format!("seed {number}"));
    }
    for round in 0..rounds(target) {
        let (one, other) = (&seeds[random.below(seeds.len())], &seeds[random.below(seeds.len())]);
        told(target, &mutate(&mut random, one, other), || format!("round {round}"));
    }
}

/// Runs a target; when it panics, keeps the input for the corpus and says where.
fn told(target: &Target, bytes: &[u8], which: impl Fn() -> String) {
    if let Err(panic) = std::panic::catch_unwind(|| target.run(bytes)) {
        let path = std::env::temp_dir().join(format!("hourglass-fuzz-{}-{}", target.name, std::process::id()));
        let kept = std::fs::write(&path, bytes).map(|()| path.display().to_string());
        println!("{} failed at {}; its input is kept: {kept:?}", target.name, which());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn no_decoder_panics_swells_or_changes_what_it_reads() {
    std::thread::scope(|scope| {
        for (number, target) in TARGETS.iter().enumerate() {
            std::thread::Builder::new().name(target.name.to_owned()).spawn_scoped(scope, move || replay(target, number)).unwrap();
        }
    });
}

#[test]
fn a_target_that_swells_is_noticed() {
    let greedy = |bytes: &[u8]| drop(std::hint::black_box(vec![1u8; bytes.len() * 1000]));
    let caught = std::panic::catch_unwind(|| targets::target("greedy", greedy, 64, 0).run(&[0; 100]));
    assert!(caught.is_err());
    assert!(named("greedy").is_none() && named("config").is_some());
}
