use super::*;

/// The body of a good AVX-512 loop; the tests break it.
const GOOD: &str = "
  10: push %rbx
  20: vmovups (%rdx,%rax,4),%zmm1
  24: vfmadd231ps (%rcx,%rax,4){1to16},%zmm1,%zmm0
  28: vfmadd231ps 0x40(%rbp,%rax,4),%zmm1,%zmm2
  2c: add $0x10,%rax
  30: cmp %rax,%rsi
  34: jne 20 <x+0x10>
  38: vmovups %zmm0,0x40(%rsp)
  3c: call 500 <core::panicking::panic_bounds_check>
  40: ret
";

fn avx512(name: &str, body: &str) -> String {
    format!("<<striate_simd::avx512::Avx512 as striate_simd::simd::Simd>::{name}>:\n{body}")
}

fn report(functions: &[String], format: &str, required: &[&str]) -> Report {
    let mut text = format!("p: file format {format}\n");
    for (i, function) in functions.iter().enumerate() {
        text += &format!("{i:016x} {function}\n");
    }
    Report::of(&Program::parse(&text).expect("valid"), required)
}

fn faults(body: &str) -> Vec<String> {
    let function = avx512("vectorize::enter::<(), kernels::axpy::{closure#0}>", body);
    // The other level of the architecture is not in question here.
    let mut faults = report(&[function], "elf64-x86-64", &["kernels::axpy"]).faults;
    faults.retain(|fault| !fault.starts_with("striate_simd::avx2"));
    faults
}

#[track_caller]
fn assert_one(faults: &[String], part: &str) {
    assert!(
        matches!(faults, [fault] if fault.contains(part)),
        "{part:?} alone: {faults:?}"
    );
}

#[test]
fn a_good_loop_has_no_faults() {
    // Stack and calls outside the loop do no harm, and %rbp is no frame pointer here.
    assert_eq!(faults(GOOD), [""; 0]);
}

#[test]
fn a_call_in_the_loop_is_a_fault() {
    let bad = GOOD.replace("add $0x10,%rax", "call *0x466(%rip)");
    assert_one(
        &faults(&bad),
        "a call in a loop of multiply-adds: 2c: call *0x466(%rip)",
    );
}

#[test]
fn a_spill_in_the_loop_is_a_fault() {
    let store = GOOD.replace("add $0x10,%rax", "vmovaps %zmm3,0x40(%rsp)");
    assert_one(&faults(&store), "a vector on the stack");
    let operand = GOOD.replace("(%rcx,%rax,4){1to16}", "0x80(%rsp)");
    assert_one(&faults(&operand), "a vector on the stack");
    let scalar = GOOD.replace("add $0x10,%rax", "mov %rdi,0x40(%rsp)");
    assert_eq!(
        faults(&scalar),
        [""; 0],
        "a general register may be spilled"
    );
}

#[test]
fn constants_may_be_on_the_stack_where_there_are_many() {
    let faults = |body: &str| {
        let name = format!(
            "vectorize::enter::<(), {}value::{{closure#0}}>",
            MANY_CONSTANTS[0]
        );
        report(&[avx512(&name, body)], "elf64-x86-64", &[]).faults
    };
    for constant in ["0x80(%rsp)", "0x80(%rsp){1to16}"] {
        let operand = GOOD.replace("(%rcx,%rax,4){1to16}", constant);
        assert_eq!(faults(&operand), [""; 0], "{constant}");
    }
    for place in ["0x40(%rsp)", "0x40(%rsp){%k1}"] {
        let store = format!("vmovaps %zmm3,{place}");
        let store = GOOD.replace("add $0x10,%rax", &store);
        assert_one(&faults(&store), "a vector on the stack");
    }
}

#[test]
fn the_frame_pointer_is_the_stack_where_it_is_one() {
    let bad = GOOD.replace("push %rbx", "mov %rsp,%rbp");
    assert_one(
        &faults(&bad),
        "a vector on the stack in a loop of multiply-adds: 28",
    );
}

#[test]
fn a_narrow_register_is_a_fault() {
    let bad = GOOD.replace(
        "vfmadd231ps 0x40(%rbp,%rax,4),%zmm1,%zmm2",
        "vfmadd231ps %ymm1,%ymm3,%ymm2",
    );
    assert_one(&faults(&bad), "a register of the wrong class");
}

#[test]
fn only_innermost_loops_are_hot() {
    let outer = GOOD.replace("40: ret", "40: jmp 10 <x>");
    assert_eq!(faults(&outer), [""; 0], "the outer loop may call and spill");
}

#[test]
fn jumps_back_to_one_start_are_one_loop() {
    let bad = GOOD.replace("38: vmovups %zmm0,0x40(%rsp)", "38: jne 20 <x+0x10>\n");
    assert_eq!(faults(&bad), [""; 0]);
    let bad = GOOD.replace("40: ret", "40: jne 20 <x+0x10>");
    assert_eq!(
        faults(&bad).len(),
        2,
        "the store and the call are in the loop now"
    );
}

#[test]
fn a_missing_loop_is_a_fault() {
    let straight = GOOD.replace("jne 20 <x+0x10>", "nop");
    assert_one(
        &faults(&straight),
        "striate_simd::avx512::Avx512: no loop of multiply-adds in kernels::axpy",
    );
    let other = avx512("vectorize::enter::<(), kernels::other::{closure#0}>", GOOD);
    let report = report(&[other], "elf64-x86-64", &["kernels::axpy"]);
    assert_eq!(
        report.faults.len(),
        2,
        "on both levels: {:?}",
        report.faults
    );
    assert_eq!((report.functions, report.loops), (1, 1));
}

#[test]
fn an_operation_that_is_not_inlined_is_a_fault() {
    let operation = avx512(
        "mul_add::inner",
        " 900: vfmadd213ps %zmm2,%zmm1,%zmm0\n 906: ret\n",
    );
    let report = report(&[operation], "elf64-x86-64", &[]);
    assert_one(
        &report.faults,
        "the operation mul_add::inner is called and not inlined",
    );
}

#[test]
fn names_of_callers_are_no_operations() {
    let caller = "<kernels::tile::enter::<striate_simd::avx2::Avx2, 6, 2>>:\n 10: ret\n".to_owned();
    let report = report(&[caller], "elf64-x86-64", &[]);
    assert_eq!(report.faults, [""; 0]);
}

#[test]
fn arm_loops_are_checked_too() {
    let good = "
  100: ldr q1, [x0, x8]
  104: fmla v0.4s, v1.4s, v2.s[0]
  108: ldr q3, [x29, #16]
  10c: b.ne 0x100 <main>
  110: bl 0x900 <panic>
";
    // The function that enters the level is inlined into its caller.
    let neon = |body: &str| {
        let name = "<kernels::axpy>";
        report(
            &[format!("{name}:\n{body}")],
            "elf64-littleaarch64",
            &["axpy"],
        )
    };
    assert_eq!(neon(good).faults, [""; 0]);
    assert_eq!(neon(good).loops, 1);
    assert_one(
        &neon(&good.replace("[x0, x8]", "[sp, #32]")).faults,
        "a vector on the stack",
    );
    assert_one(
        &neon(&good.replace("ldr q1, [x0, x8]", "bl 0x900 <f>")).faults,
        "a call",
    );
    let scalar = good.replace("fmla v0.4s, v1.4s, v2.s[0]", "fmadd s0, s1, s2, s0");
    assert_one(&neon(&scalar).faults, "a register of the wrong class");
}
