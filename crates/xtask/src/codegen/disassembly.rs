//! The output of `objdump` and `llvm-objdump`, parsed.

/// Whose instructions they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    X86,
    Arm,
}

/// A disassembled program.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) architecture: Architecture,
    pub(crate) functions: Vec<Function>,
}

/// A function and its instructions, in the order of addresses.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) instructions: Vec<Instruction>,
}

/// One instruction.
#[derive(Debug)]
pub(crate) struct Instruction {
    pub(crate) address: u64,
    pub(crate) mnemonic: String,
    pub(crate) operands: String,
}

impl Program {
    /// Parses the output of a disassembler.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let architecture = text
            .lines()
            .find_map(|line| {
                let (_, format) = line.split_once("file format ")?;
                match format.trim() {
                    "elf64-x86-64" => Some(Architecture::X86),
                    "elf64-littleaarch64" => Some(Architecture::Arm),
                    _ => None,
                }
            })
            .ok_or("neither x86-64 nor aarch64 ELF: this check runs on Linux")?;
        let mut functions: Vec<Function> = Vec::new();
        for line in text.lines() {
            if let Some(name) = function_name(line) {
                functions.push(Function {
                    name,
                    instructions: Vec::new(),
                });
            } else if let (Some(function), Some(instruction)) =
                (functions.last_mut(), Instruction::parse(line))
            {
                function.instructions.push(instruction);
            }
        }
        Ok(Self {
            architecture,
            functions,
        })
    }
}

/// The name in a line such as `0000000000015ff0 <main>:`.
fn function_name(line: &str) -> Option<String> {
    let (address, name) = line.strip_suffix(">:")?.split_once(" <")?;
    u64::from_str_radix(address, 16).ok()?;
    Some(name.to_owned())
}

/// Words that stand before the mnemonic proper.
const PREFIXES: [&str; 8] = ["data16", "cs", "ds", "es", "lock", "rep", "repz", "bnd"];

impl Instruction {
    /// Parses a line such as `   15ff0:  mov    0x10(%rdi),%rdx`.
    fn parse(line: &str) -> Option<Self> {
        let (address, text) = line.split_once(':')?;
        let address = u64::from_str_radix(address.trim(), 16).ok()?;
        let mut text = text.trim();
        loop {
            let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            if !PREFIXES.contains(&first) {
                let (mnemonic, operands) = (first.to_owned(), rest.trim().to_owned());
                return (!mnemonic.is_empty()).then_some(Self {
                    address,
                    mnemonic,
                    operands,
                });
            }
            text = rest.trim();
        }
    }

    /// Where it jumps to, if it is a jump to a fixed address within a function.
    pub(crate) fn jump_target(&self, architecture: Architecture) -> Option<u64> {
        let operand = match architecture {
            Architecture::X86 => {
                if !self.mnemonic.starts_with('j') {
                    return None;
                }
                self.operands.as_str()
            }
            Architecture::Arm => {
                let mnemonic = self.mnemonic.as_str();
                let jump = ["b", "cbz", "cbnz", "tbz", "tbnz"].contains(&mnemonic);
                if !jump && !mnemonic.starts_with("b.") {
                    return None;
                }
                let operands = self.operands.split('<').next().unwrap_or_default();
                operands.rsplit(',').next().unwrap_or_default().trim()
            }
        };
        let address = operand.split_whitespace().next()?;
        u64::from_str_radix(address.trim_start_matches("0x"), 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GNU: &str = "
/some/program:     file format elf64-x86-64

Disassembly of section .text:

0000000000016180 <<striate_simd::avx512::Avx512 as Simd>::vectorize::enter::<()>>:
   16180:\tpush   %rax
   161b1:\tdata16 cs nopw 0x0(%rax,%rax,1)
   161d2:\tvfmadd213ps (%rsi,%rax,4),%zmm0,%zmm1
   161ee:\tjbe    161c0 <main+0x40>
   161f0:\tjmp    *%rax
   161f2:\tret
\t...
";

    const LLVM: &str = "
p:\tfile format elf64-littleaarch64

0000000000000100 <main>:
     100: \tfmla\tv0.4s, v1.4s, v2.s[0]
     104: \tb.ne\t0x100 <main>
     108: \tcbnz\tx8, 0x104 <main+0x4>
     10c: \tret
";

    #[test]
    fn functions_and_instructions_are_found() {
        let program = Program::parse(GNU).expect("valid");
        assert_eq!(program.architecture, Architecture::X86);
        let [function] = &program.functions[..] else {
            panic!("one function: {program:?}")
        };
        assert!(
            function.name.ends_with("vectorize::enter::<()>"),
            "{}",
            function.name
        );
        let mnemonics: Vec<_> = function
            .instructions
            .iter()
            .map(|i| &i.mnemonic[..])
            .collect();
        assert_eq!(
            mnemonics,
            ["push", "nopw", "vfmadd213ps", "jbe", "jmp", "ret"]
        );
        let targets: Vec<_> = function
            .instructions
            .iter()
            .map(|i| i.jump_target(Architecture::X86))
            .collect();
        assert_eq!(targets, [None, None, None, Some(0x161c0), None, None]);
    }

    #[test]
    fn arm_branches_have_targets() {
        let program = Program::parse(LLVM).expect("valid");
        assert_eq!(program.architecture, Architecture::Arm);
        let targets: Vec<_> = program.functions[0]
            .instructions
            .iter()
            .map(|i| i.jump_target(Architecture::Arm))
            .collect();
        assert_eq!(targets, [None, Some(0x100), Some(0x104), None]);
    }

    #[test]
    fn other_formats_are_errors() {
        Program::parse("p:\tfile format mach-o 64-bit x86-64\n").expect_err("no ELF");
        Program::parse("").expect_err("nothing at all");
    }
}
