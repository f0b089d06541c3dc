//! A machine that runs CUDA kernels on the CPU: another program, compiled from their sources.

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use anyhow::ensure;
use candle::{DType, Device, Error, Result, Tensor, Var, bail};
use half::{bf16, f16};

use crate::device::values;
use crate::random::noise;

use self::launch::{Argument, Factor, Kind, Machine, PRELUDE, Source, Variant};

#[path = "../../src/native/cuda/launch/mod.rs"]
pub(crate) mod launch;

/// Values that the other program has.
#[derive(Debug)]
pub(crate) struct Array {
    id: u64,
    kind: Kind,
    count: usize,
    /// Whether to say that it is aligned.
    aligned: bool,
}

impl Array {
    /// Has kernels load its values one by one.
    pub(crate) fn misalign(&mut self) {
        self.aligned = false;
    }
}

/// The other program, held open.
pub(crate) struct Emulator {
    child: Child,
    input: RefCell<BufWriter<ChildStdin>>,
    output: RefCell<BufReader<ChildStdout>>,
    arrays: Cell<u64>,
    launched: RefCell<Vec<&'static str>>,
}

/// The other program, compiled once; `None` where the machine has no compiler.
fn program() -> anyhow::Result<Option<PathBuf>> {
    static PROGRAM: OnceLock<std::result::Result<Option<PathBuf>, String>> = OnceLock::new();
    let outcome = PROGRAM.get_or_init(|| compile().map_err(|error| format!("{error:#}")));
    outcome.clone().map_err(anyhow::Error::msg)
}

fn compile() -> anyhow::Result<Option<PathBuf>> {
    let sources = [Source::Act, Source::Axis, Source::Channels, Source::ClassSums, Source::Columns]
        .into_iter()
        .chain([Source::Layout, Source::Norm, Source::Pool, Source::Softmax, Source::Update])
        .map(|source| (source.name(), source.text()));
    let own = [
        ("threads.hpp", include_str!("../gpu/threads.hpp")),
        ("cuda.hpp", include_str!("../gpu/cuda.hpp")),
        ("cuda_variant.inc", include_str!("../gpu/cuda_variant.inc")),
        ("cuda.cpp", include_str!("../gpu/cuda.cpp")),
    ];
    let files: Vec<_> = sources.chain(PRELUDE).chain(own).collect();
    // One folder for each state of the sources, so that nothing is compiled twice or piles up.
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    let built = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = if built.is_dir() { built.to_owned() } else { std::env::temp_dir() };
    let folder = folder.join(format!("cuda_sources-{:016x}", hasher.finish()));
    let program = folder.join("cuda");
    if program.is_file() {
        return Ok(Some(program));
    }
    std::fs::create_dir_all(&folder)?;
    for (name, text) in files {
        std::fs::write(folder.join(name), text)?;
    }
    let fresh = folder.join(format!("cuda-{}", std::process::id()));
    let mut command = Command::new("c++");
    command.args(["-std=c++17", "-O1", "-o"]).arg(&fresh).arg(folder.join("cuda.cpp"));
    match command.output() {
        Ok(output) if output.status.success() => {
            std::fs::rename(fresh, &program)?;
            Ok(Some(program))
        }
        Ok(output) => anyhow::bail!("c++: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) if std::env::var_os("SCONCE_REQUIRE_CXX").is_some() => {
            anyhow::bail!("c++ cannot be run: {error}")
        }
        Err(_) => Ok(None),
    }
}

impl Emulator {
    /// `None` where the machine has no compiler.
    pub(crate) fn start() -> anyhow::Result<Option<Self>> {
        let Some(program) = program()? else {
            #[expect(clippy::print_stderr, reason = "a test that ran nothing should say so")]
            {
                eprintln!("no C++ compiler: nothing was run");
            }
            return Ok(None);
        };
        Self::of(&program).map(Some)
    }

    fn of(program: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            anyhow::bail!("no pipes");
        };
        Ok(Self {
            child,
            input: RefCell::new(BufWriter::new(input)),
            output: RefCell::new(BufReader::new(output)),
            arrays: Cell::new(0),
            launched: RefCell::default(),
        })
    }

    /// The kernels that ran.
    pub(crate) fn launched(&self) -> Vec<&'static str> {
        self.launched.borrow().clone()
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        self.input.borrow_mut().write_all(bytes).map_err(Error::wrap)
    }

    fn send_all(&self, numbers: impl IntoIterator<Item = usize>) -> Result<()> {
        numbers.into_iter().try_for_each(|number| self.send(&(number as u64).to_le_bytes()))
    }

    fn array(&self, kind: Kind, count: usize) -> Result<Array> {
        let id = self.arrays.get();
        self.arrays.set(id + 1);
        self.send(b"A")?;
        self.send(&id.to_le_bytes())?;
        self.send_all([count * kind.bytes()])?;
        Ok(Array { id, kind, count, aligned: true })
    }

    fn filled(&self, kind: Kind, bytes: &[u8]) -> Result<Array> {
        let array = self.array(kind, bytes.len() / kind.bytes())?;
        self.send(b"W")?;
        self.send(&array.id.to_le_bytes())?;
        self.send_all([bytes.len()])?;
        self.send(bytes)?;
        Ok(array)
    }

    /// The values of `x` as `kind`, which loses none of their digits.
    pub(crate) fn upload(&self, kind: Kind, x: &Tensor) -> Result<Array> {
        let values = x.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        let bytes: Vec<u8> = match kind {
            Kind::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Kind::Bf16 => {
                values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect()
            }
            Kind::F16 => {
                values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
            }
            Kind::I32 => bail!("no ints in tensors"),
        };
        self.filled(kind, &bytes)
    }

    /// The values of `array`.
    pub(crate) fn download(&self, array: &Array, shape: &[usize]) -> Result<Tensor> {
        self.send(b"R")?;
        self.send(&array.id.to_le_bytes())?;
        self.send_all([array.count * array.kind.bytes()])?;
        self.input.borrow_mut().flush().map_err(Error::wrap)?;
        let mut bytes = vec![0; array.count * array.kind.bytes()];
        self.output.borrow_mut().read_exact(&mut bytes).map_err(Error::wrap)?;
        let values: Vec<f32> = match array.kind {
            Kind::F32 => {
                let four =
                    |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                bytes.chunks_exact(4).map(four).collect()
            }
            Kind::Bf16 => {
                let two = |bytes: &[u8]| bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
                bytes.chunks_exact(2).map(two).collect()
            }
            Kind::F16 => {
                let two = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
                bytes.chunks_exact(2).map(two).collect()
            }
            Kind::I32 => bail!("no ints in tensors"),
        };
        Tensor::from_vec(values, shape, &Device::Cpu)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Whoever waits for an answer has it: the program may end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(kind: Kind) -> u32 {
    match kind {
        Kind::F32 | Kind::I32 => 0,
        Kind::Bf16 => 1,
        Kind::F16 => 2,
    }
}

fn blob(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("arguments are small");
    [&[0], length.to_le_bytes().as_slice(), bytes].concat()
}

impl Machine for Emulator {
    type Array = Array;

    fn empty(&self, kind: Kind, count: usize) -> Result<Array> {
        self.array(kind, count)
    }

    fn zeros(&self, kind: Kind, count: usize) -> Result<Array> {
        self.filled(kind, &vec![0; count * kind.bytes()])
    }

    fn ints(&self, values: &[i32]) -> Result<Array> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.filled(Kind::I32, &bytes)
    }

    fn floats(&self, values: &[f32]) -> Result<Array> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.filled(Kind::F32, &bytes)
    }

    fn table(&self, arrays: &[Option<&Array>]) -> Result<Array> {
        // An address takes the room of two ints.
        let table = self.array(Kind::I32, 2 * arrays.len())?;
        self.send(b"T")?;
        self.send(&table.id.to_le_bytes())?;
        self.send_all([arrays.len()])?;
        let ids = arrays.iter().map(|array| array.map_or(u64::MAX, |array| array.id));
        ids.into_iter().try_for_each(|id| self.send(&id.to_le_bytes()))?;
        Ok(table)
    }

    fn is_aligned(&self, array: &Array) -> bool {
        array.aligned
    }

    fn launch(
        &self,
        variant: Variant,
        kernel: &'static str,
        blocks: usize,
        arguments: Vec<Argument<'_, Array>>,
    ) -> Result<()> {
        self.launched.borrow_mut().push(kernel);
        // The program has one size of index for each type: f16 has the wide one.
        let wide = variant.kind == Kind::F16;
        let small = |value: usize| u32::try_from(value).map_err(Error::wrap);
        self.send(b"L")?;
        let head = [number(variant.kind), small(variant.width)?, variant.curve];
        head.iter().try_for_each(|number| self.send(&number.to_le_bytes()))?;
        self.send(&small(kernel.len())?.to_le_bytes())?;
        self.send(kernel.as_bytes())?;
        self.send(&small(blocks)?.to_le_bytes())?;
        self.send(&small(arguments.len())?.to_le_bytes())?;
        let array = |array: &Array| [&[1], array.id.to_le_bytes().as_slice()].concat();
        for argument in arguments {
            let bytes = match argument {
                Argument::Read(values) => array(values),
                Argument::Write(values) => array(values),
                Argument::Null => vec![2],
                Argument::Int(value) => blob(&value.to_le_bytes()),
                Argument::Index(value) if wide => blob(&value.to_le_bytes()),
                Argument::Index(value) => {
                    blob(&i32::try_from(value).map_err(Error::wrap)?.to_le_bytes())
                }
                Argument::Float(value) => blob(&value.to_le_bytes()),
                Argument::Double(value) => blob(&value.to_le_bytes()),
                Argument::Ints(values) => {
                    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
                    blob(&bytes.collect::<Vec<u8>>())
                }
            };
            self.send(&bytes)?;
        }
        Ok(())
    }

    fn product(
        &self,
        first: Factor<'_, Array>,
        second: Factor<'_, Array>,
        [m, n, k]: [usize; 3],
    ) -> Result<Array> {
        let result = self.array(first.array.kind, m * n)?;
        self.send(b"P")?;
        self.send(&number(first.array.kind).to_le_bytes())?;
        for factor in [first, second] {
            self.send(&factor.array.id.to_le_bytes())?;
            self.send_all([factor.start, usize::from(factor.transposed)])?;
        }
        self.send_all([m, n, k])?;
        self.send(&result.id.to_le_bytes())?;
        Ok(result)
    }
}

pub(crate) const KINDS: [Kind; 3] = [Kind::F32, Kind::Bf16, Kind::F16];

/// How far results in `kind` may be from exact ones, relative to the largest, where `single` is right
/// for f32: results are rounded to that type, and so may be what they are made of.
pub(crate) fn tolerance(kind: Kind, single: f64) -> f64 {
    match kind {
        Kind::Bf16 => 2e-2,
        Kind::F16 => 3e-3,
        Kind::F32 | Kind::I32 => single,
    }
}

/// `x` without the digits that `kind` lacks, in f64.
pub(crate) fn rounded(kind: Kind, x: &Tensor) -> Result<Tensor> {
    let dtype = match kind {
        Kind::Bf16 => DType::BF16,
        Kind::F16 => DType::F16,
        Kind::F32 | Kind::I32 => DType::F32,
    };
    x.to_dtype(dtype)?.to_dtype(DType::F64)
}

pub(crate) fn input(kind: Kind, salt: u64, shape: &[usize]) -> Result<Var> {
    Var::from_tensor(&rounded(kind, &noise(salt, shape, DType::F32, &Device::Cpu)?)?)
}

pub(crate) fn agree(
    what: &str,
    found: &Tensor,
    exact: &Tensor,
    tolerance: f64,
) -> anyhow::Result<()> {
    ensure!(found.elem_count() == exact.elem_count(), "{what}: {found:?} and {exact:?}");
    let (found, exact) = (values(found)?, values(exact)?);
    // What cancels has the errors of what it was made of, values up to about 1: in single precision that
    // hardly shows.
    let least = if tolerance > 1e-4 { 0.25 } else { 1e-2 };
    let largest =
        exact.iter().filter(|value| value.is_finite()).fold(least, |a: f64, b| a.max(b.abs()));
    for (at, (found, exact)) in found.iter().zip(&exact).enumerate() {
        let same = found.is_nan() && exact.is_nan() || (found - exact).abs() <= tolerance * largest;
        ensure!(same, "{what}: value {at} is {found}, not {exact}");
    }
    Ok(())
}

pub(crate) fn three(values: &[usize], one: usize) -> [usize; 3] {
    let mut all = [one; 3];
    all[3 - values.len()..].copy_from_slice(values);
    all
}
