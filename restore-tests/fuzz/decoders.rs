//! The fuzzer: one binary for all targets, because each would link the whole program. `run` starts it.
#![no_main]

use std::{env, fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;

mod seeds;
mod targets;

static TARGET: LazyLock<&targets::Target> = LazyLock::new(|| {
    let name = env::var("HOURGLASS_FUZZ_TARGET").expect("`run` names the target");
    targets::named(&name).unwrap_or_else(|| panic!("{name} is not one of {:?}", targets::TARGETS.map(|target| target.name)))
});

fuzz_target!(
    init: {
        if let Some(folder) = env::var_os("HOURGLASS_FUZZ_SEEDS").map(PathBuf::from) {
            for (number, seed) in seeds::seeds(TARGET.name).into_iter().enumerate() {
                fs::write(folder.join(format!("seed-{number:03}")), seed).expect("the folder of seeds can be written");
            }
        }
    },
    |bytes: &[u8]| TARGET.run(bytes)
);
