//! What is wrong with the machine code of vector loops.

use super::disassembly::{Architecture, Function, Instruction, Program};
use std::ops::RangeInclusive;

/// How a level is entered; the operations of a token have the same prefix.
const ENTER: &str = " as striate_simd::simd::Simd>::vectorize::enter::<";
const OPERATION: &str = " as striate_simd::simd::Simd>::";

/// A level that has multiply-adds.
struct Fused {
    /// What the names of its functions start with.
    token: &'static str,
    architecture: Architecture,
    /// What the operands of its vector instructions contain.
    register: &'static str,
}

impl Fused {
    /// Whether every function has the level's features: then the function that enters the level may
    /// have been inlined, and any function may be a kernel.
    fn is_baseline(&self) -> bool {
        self.architecture == Architecture::Arm
    }

    fn name(&self) -> &'static str {
        self.token.trim_start_matches('<')
    }
}

const LEVELS: [Fused; 3] = [
    Fused {
        token: "<striate_simd::avx512::Avx512",
        architecture: Architecture::X86,
        register: "%zmm",
    },
    Fused {
        token: "<striate_simd::avx2::Avx2",
        architecture: Architecture::X86,
        register: "%ymm",
    },
    Fused {
        token: "<striate_simd::neon::Neon",
        architecture: Architecture::Arm,
        register: ".4s",
    },
];

/// Functions whose loops may read vectors from the stack, though not write them there: they have more constants than sixteen
/// registers hold beside what changes, and the stack is as good a place for them as any. What changes would be written, too.
const MANY_CONSTANTS: [&str; 8] = [
    // The constants of elementary functions, of which the exponential is one.
    "striate_kernels::elementwise::unary_f32::",
    "striate_kernels::attention::forward::Block",
    "striate_kernels::attention::pool::spread::",
    "striate_kernels::softmax::vector::log_softmax::",
    // Four vectors of means, beside eight of sums and four of differences.
    "striate_kernels::norm::vector::moments::",
    // Nine weights, beside the sums of three lines of seven pixels: some are read again for each row.
    "striate_kernels::dwconv::gather::",
    // A factor that the loop does not use, beside the double precision constants that places are found with.
    "striate_kernels::deform_conv2d::backward_input::run::",
    // The weights of a tap in double precision, read once for each of four pixels and not in the sums over channels.
    "striate_kernels::sample::vector::backward_grid::",
];

/// The result of a check.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Functions with hot loops.
    pub(crate) functions: usize,
    /// Hot loops: innermost, with multiply-adds.
    pub(crate) loops: usize,
    /// One line for each thing that is wrong.
    pub(crate) faults: Vec<String>,
}

impl Report {
    /// Looks at every function of `program` that enters a level, and for each of the `required`
    /// names on each level.
    pub(crate) fn of(program: &Program, required: &[&str]) -> Self {
        let mut report = Self::default();
        for level in LEVELS
            .iter()
            .filter(|level| level.architecture == program.architecture)
        {
            let mut with_loops: Vec<&str> = Vec::new();
            for function in &program.functions {
                let rest = function.name.strip_prefix(level.token);
                let enters = rest.is_some_and(|rest| rest.starts_with(ENTER));
                if (enters || level.is_baseline()) && report.look_at(level, function) {
                    with_loops.push(&function.name);
                }
                if let Some(operation) = rest.and_then(|rest| rest.strip_prefix(OPERATION))
                    && !enters
                {
                    report.faults.push(format!(
                        "{}: the operation {operation} is called and not inlined",
                        level.name()
                    ));
                }
            }
            report.functions += with_loops.len();
            for name in required {
                if !with_loops.iter().any(|function| function.contains(name)) {
                    report.faults.push(format!(
                        "{}: no loop of multiply-adds in {name}",
                        level.name()
                    ));
                }
            }
        }
        report
    }

    /// Checks one function; true if it has a loop of multiply-adds.
    fn look_at(&mut self, level: &Fused, function: &Function) -> bool {
        let arch = level.architecture;
        let frame = has_frame_pointer(arch, function);
        let reads = MANY_CONSTANTS
            .iter()
            .any(|name| function.name.contains(name));
        let mut found = false;
        for range in innermost_loops(arch, function) {
            let body = || {
                function
                    .instructions
                    .iter()
                    .filter(|i| range.contains(&i.address))
            };
            if !body().any(|i| i.is_multiply_add(arch)) {
                continue;
            }
            found = true;
            self.loops += 1;
            for instruction in body() {
                let what = if instruction.is_call(arch) {
                    "a call"
                } else if instruction.is_spill(arch, frame)
                    && (!reads || instruction.is_store(arch))
                {
                    "a vector on the stack"
                } else if instruction.is_multiply_add(arch)
                    && !instruction.operands.contains(level.register)
                {
                    "a register of the wrong class"
                } else {
                    continue;
                };
                self.faults.push(format!(
                    "{what} in a loop of multiply-adds: {:x}: {} {}\n    in {}",
                    instruction.address, instruction.mnemonic, instruction.operands, function.name
                ));
            }
        }
        found
    }
}

/// The address ranges of backward jumps that contain no other such range.
fn innermost_loops(arch: Architecture, function: &Function) -> Vec<RangeInclusive<u64>> {
    let Some(first) = function.instructions.first().map(|i| i.address) else {
        return Vec::new();
    };
    let mut loops: Vec<(u64, u64)> = Vec::new();
    for instruction in &function.instructions {
        let end = instruction.address;
        match instruction.jump_target(arch) {
            Some(start) if (first..=end).contains(&start) => {
                // Several jumps back to one start are one loop.
                loops.retain(|(s, _)| *s != start);
                loops.push((start, end));
            }
            _ => {}
        }
    }
    let inside = |inner: &(u64, u64), outer: &(u64, u64)| {
        inner != outer && inner.0 >= outer.0 && inner.1 <= outer.1
    };
    loops
        .iter()
        .filter(|outer| !loops.iter().any(|inner| inside(inner, outer)))
        .map(|(start, end)| *start..=*end)
        .collect()
}

/// Whether the frame pointer is one: else it is a register like any other.
fn has_frame_pointer(arch: Architecture, function: &Function) -> bool {
    match arch {
        Architecture::X86 => function
            .instructions
            .iter()
            .any(|i| i.mnemonic == "mov" && i.operands == "%rsp,%rbp"),
        Architecture::Arm => function.instructions.iter().any(|i| {
            (i.mnemonic == "mov" || i.mnemonic == "add") && i.operands.starts_with("x29, sp")
        }),
    }
}

impl Instruction {
    fn is_call(&self, arch: Architecture) -> bool {
        match arch {
            Architecture::X86 => self.mnemonic.starts_with("call"),
            Architecture::Arm => self.mnemonic == "bl" || self.mnemonic == "blr",
        }
    }

    fn is_multiply_add(&self, arch: Architecture) -> bool {
        let names: &[&str] = match arch {
            Architecture::X86 => &["vfmadd", "vfmsub", "vfnmadd", "vfnmsub"],
            Architecture::Arm => &["fmla", "fmls", "fmadd", "fmsub", "fnmadd", "fnmsub"],
        };
        names.iter().any(|name| self.mnemonic.starts_with(name))
    }

    /// Whether memory is what a vector instruction writes.
    fn is_store(&self, arch: Architecture) -> bool {
        match arch {
            Architecture::X86 => {
                // The last operand is, with a mask behind it or none.
                let mut operands = self.operands.as_str();
                while let Some(rest) = operands.strip_suffix('}') {
                    operands = rest.rsplit_once('{').map_or("", |(before, _)| before);
                }
                operands.ends_with(')')
            }
            Architecture::Arm => self.mnemonic.starts_with("st"),
        }
    }

    /// Whether a vector is read from the stack or written to it.
    fn is_spill(&self, arch: Architecture, frame: bool) -> bool {
        match arch {
            Architecture::X86 => {
                let stack =
                    self.operands.contains("(%rsp") || (frame && self.operands.contains("(%rbp"));
                stack
                    && ["%xmm", "%ymm", "%zmm"]
                        .iter()
                        .any(|r| self.operands.contains(r))
            }
            Architecture::Arm => {
                let stack =
                    self.operands.contains("[sp") || (frame && self.operands.contains("[x29"));
                let vector = self.operands.strip_prefix(['q', 'v', 'd', 's']);
                stack && vector.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
