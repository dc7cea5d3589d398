#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cc_fuzz_targets::urls::urls(bytes));
