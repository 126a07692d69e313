// Recurrent layers on the CPU: GRU and LSTM, forward and backward, float32, float64 and bfloat16.
//
// A layer's input products are one large matrix product outside. What is here runs over time: at
// each step a product with the recurrent weights, which stay packed in the cache, and one loop for
// all pointwise work. Rows are computed in blocks that do not depend on each other, so each thread
// takes blocks of its own. kernel.py compiles this file and calls it.
//
// Sequences lie as in PyTorch's PackedSequence: step after step, longest first, so that step t
// holds the first active[t] rows. N is the sum of `active`.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__AVX512BF16__)
#define HAS_PAIRS  // AVX512-BF16: products of two bfloat16 at once
#include <immintrin.h>
#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__linux__)
#define HAS_TILES  // AMX: products of tiles of 16 by 32
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace {

using std::int64_t;
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;

constexpr int64_t kRows = 64;  // of a block: operands and weights of 256 units fit into 2 MiB

struct BFloat16 {
  uint16_t bits;
};

inline float load(float value) { return value; }
inline double load(double value) { return value; }
inline float load(BFloat16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits) << 16);
}
inline void store(float* to, float value) { *to = value; }
inline void store(double* to, double value) { *to = value; }
inline void store(BFloat16* to, float value) {  // rounded to nearest, ties to even
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  to->bits = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline double exponential(double x) { return std::exp(x); }
inline float exponential(float x) {  // error below 2 units in the last place; NaN stays NaN
  x = x < -87.0f ? -87.0f : x;
  x = x > 87.0f ? 87.0f : x;
  const float n = std::rint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * __builtin_bit_cast(float, (static_cast<int32_t>(n) + 127) << 23);
}
template <class T>
inline T sigmoid(T x) {
  return T(1) / (T(1) + exponential(-x));
}
template <class T>
inline T tangent(T x) {
  return T(2) / (T(1) + exponential(T(-2) * x)) - T(1);
}

inline int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

// ---- Products with packed weights: C (m, n) = A (m, k) B (k, n), of up to kRows rows.
//
// B lies in panels of one vector's columns. Operands of bfloat16 go in pairs along k, as the
// instructions want them. A has room for kRows rows, C for kRows rows of `columns(n)`.

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRowTile = 8;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32, kRowTile = 4;
#else
constexpr int kVectorBytes = 16, kRowTile = 4;
#endif

template <class T>
struct Plain {
  using Value = T;    // of C
  using Operand = T;  // of A and B
  using Unit = T;     // what is multiplied at once
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  typedef T UnitVector __attribute__((vector_size(kVectorBytes)));
  static constexpr int64_t kPair = 1, kDepth = 1, kPanels = 1;
  static Vector fma(Vector sum, Unit a, UnitVector b) { return sum + a * b; }
  static void put(Operand* to, T value) { *to = value; }
};

#if defined(HAS_PAIRS)
struct Pairs {
  using Value = float;
  using Operand = BFloat16;
  using Unit = uint32_t;
  typedef float Vector __attribute__((vector_size(64)));
  typedef uint32_t UnitVector __attribute__((vector_size(64)));
  static constexpr int64_t kPair = 2, kDepth = 32, kPanels = 2;
  static Vector fma(Vector sum, Unit a, UnitVector b) {
    const __m512i pair = _mm512_set1_epi32(static_cast<int>(a));
    return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)pair, (__m512bh)(__m512i)b);
  }
  static void put(Operand* to, float value) { store(to, value); }
};
#endif

template <class P>
struct Product : P {
  using typename P::Operand;
  using typename P::Value;
  static constexpr int64_t kLanes = kVectorBytes / sizeof(Value);

  static int64_t depth(int64_t k) { return round_up(k, P::kDepth); }
  static int64_t columns(int64_t n) { return round_up(n, kLanes * P::kPanels); }

  // Returns B from weights whose value at (k, n) is weights[k * step_k + n * step_n].
  template <class S>
  static std::vector<Operand> pack(const S* weights, int64_t k, int64_t n, int64_t step_k,
                                   int64_t step_n) {
    std::vector<Operand> packed(depth(k) * columns(n));
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < k; ++i) {
        const int64_t panel = j / kLanes * depth(k) * kLanes;
        const int64_t place = (i / P::kPair * kLanes + j % kLanes) * P::kPair + i % P::kPair;
        P::put(&packed[panel + place], load(weights[i * step_k + j * step_n]));
      }
    return packed;
  }

  template <int kWide>
  static void tile(const Operand* a, int64_t lda, const Operand* b, Value* c, int64_t ldc,
                   int64_t k, bool add) {
    const int64_t units = k / P::kPair;
    typename P::Vector sum[kRowTile][kWide];
    for (int i = 0; i < kRowTile; ++i)
      for (int j = 0; j < kWide; ++j) {
        if (add) std::memcpy(&sum[i][j], c + i * ldc + j * kLanes, kVectorBytes);
        else sum[i][j] = typename P::Vector{};
      }
    for (int64_t u = 0; u < units; ++u) {
      typename P::UnitVector wide[kWide];
      for (int j = 0; j < kWide; ++j)
        std::memcpy(&wide[j], b + (j * units + u) * kLanes * P::kPair, kVectorBytes);
#pragma GCC unroll 8
      for (int i = 0; i < kRowTile; ++i) {
        typename P::Unit one;
        std::memcpy(&one, a + i * lda + u * P::kPair, sizeof one);
#pragma GCC unroll 4
        for (int j = 0; j < kWide; ++j) sum[i][j] = P::fma(sum[i][j], one, wide[j]);
      }
    }
    for (int i = 0; i < kRowTile; ++i)
      for (int j = 0; j < kWide; ++j)
        std::memcpy(c + i * ldc + j * kLanes, &sum[i][j], kVectorBytes);
  }

  static void multiply(const Operand* a, int64_t lda, const std::vector<Operand>& packed, Value* c,
                       int64_t ldc, int64_t m, int64_t n, int64_t k, bool add) {
    const int64_t panels = columns(n) / kLanes, deep = depth(k);
    for (int64_t p = 0; p < panels; p += 3) {
      const Operand* b = packed.data() + p * deep * kLanes;
      for (int64_t i = 0; i < m; i += kRowTile) {
        Value* to = c + i * ldc + p * kLanes;
        if (panels - p >= 3) tile<3>(a + i * lda, lda, b, to, ldc, deep, add);
        else if (panels - p == 2) tile<2>(a + i * lda, lda, b, to, ldc, deep, add);
        else tile<1>(a + i * lda, lda, b, to, ldc, deep, add);
      }
    }
  }

  static void begin() {}
  static void end() {}
};

#if defined(HAS_TILES)
struct Tiles : Product<Pairs> {  // 32 rows by 32 columns at once
  static void multiply(const Operand* a, int64_t lda, const std::vector<Operand>& packed, Value* c,
                       int64_t ldc, int64_t m, int64_t n, int64_t k, bool add) {
    const int64_t deep = depth(k), row = lda * 2, line = ldc * 4;
    for (int64_t j = 0; j < columns(n); j += 32) {
      const BFloat16* left = packed.data() + j * deep;
      const BFloat16* right = left + 16 * deep;
      for (int64_t i = 0; i < m; i += 32) {
        const bool both = m - i > 16;  // few rows are left at the end of mixed lengths
        float* to = c + i * ldc + j;
        if (add) {
          _tile_loadd(0, to, line);
          _tile_loadd(1, to + 16, line);
          _tile_loadd(2, to + 16 * ldc, line);
          _tile_loadd(3, to + 16 * ldc + 16, line);
        } else {
          _tile_zero(0);
          _tile_zero(1);
          _tile_zero(2);
          _tile_zero(3);
        }
        const BFloat16* upper = a + i * lda;
        const BFloat16* lower = upper + 16 * lda;
        for (int64_t u = 0; u < deep; u += 32) {
          _tile_loadd(4, upper + u, row);
          _tile_loadd(6, left + u * 16, 64);
          _tile_loadd(7, right + u * 16, 64);
          _tile_dpbf16ps(0, 4, 6);
          _tile_dpbf16ps(1, 4, 7);
          if (!both) continue;
          _tile_loadd(5, lower + u, row);
          _tile_dpbf16ps(2, 5, 6);
          _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(0, to, line);
        _tile_stored(1, to + 16, line);
        if (!both) continue;
        _tile_stored(2, to + 16 * ldc, line);
        _tile_stored(3, to + 16 * ldc + 16, line);
      }
    }
  }

  static void begin() {
    struct {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } shapes;
    _tile_loadconfig(&shapes);
  }
  static void end() { _tile_release(); }

  static bool allowed() {  // Linux gives the tiles to a process that asks for them
    static const bool granted = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
    return granted;
  }
};
#endif

// ---- Cells: the pointwise work of one row at one step.

template <class T>
struct Gru {  // gates r, z, n; h' = n + z (h - n)
  static constexpr int64_t kGates = 3, kStates = 1, kSaved = 4;

  template <class S>
  static void forward(int64_t units, const S* inputs, const T* product, const T* bias, T* h, T*,
                      S* saved) {
    const T *br = bias, *bz = br + units, *bn = bz + units, *bh = bn + units;
#pragma omp simd
    for (int64_t i = 0; i < units; ++i) {
      const T r = sigmoid(load(inputs[i]) + product[i] + br[i]);
      const T z = sigmoid(load(inputs[units + i]) + product[units + i] + bz[i]);
      const T hn = product[2 * units + i] + bh[i];
      const T n = tangent(load(inputs[2 * units + i]) + bn[i] + r * hn);
      h[i] = n + z * (h[i] - n);
      if (saved) {
        store(saved + i, r);
        store(saved + units + i, z);
        store(saved + 2 * units + i, n);
        store(saved + 3 * units + i, hn);
      }
    }
  }

  // dh: gradient of h' at first, at the end what of h's gradient does not go through the product.
  template <class S>
  static void backward(int64_t units, const S* saved, const S* before, const S*, const T*,
                       const S* outputs, T* dh, T*, T* product, S* inputs, S* candidate, T* bias) {
#pragma omp simd
    for (int64_t i = 0; i < units; ++i) {
      const T r = load(saved[i]), z = load(saved[units + i]);
      const T n = load(saved[2 * units + i]), hn = load(saved[3 * units + i]);
      const T d = dh[i] + load(outputs[i]);
      const T dn = d * (T(1) - z) * (T(1) - n * n);
      const T dz = d * (load(before[i]) - n) * z * (T(1) - z);
      const T dr = dn * hn * r * (T(1) - r);
      const T dhn = dn * r;
      dh[i] = d * z;
      product[i] = dr;
      product[units + i] = dz;
      product[2 * units + i] = dhn;
      store(inputs + i, dr);
      store(inputs + units + i, dz);
      store(inputs + 2 * units + i, dn);
      store(candidate + i, dhn);
      bias[i] += dr;
      bias[units + i] += dz;
      bias[2 * units + i] += dn;
      bias[3 * units + i] += dhn;
    }
  }
};

template <class T>
struct Lstm {  // gates i, f, g, o; c' = f c + i g; h' = o tanh(c')
  static constexpr int64_t kGates = 4, kStates = 2, kSaved = 5;

  template <class S>
  static void forward(int64_t units, const S* inputs, const T* product, const T* bias, T* h, T* c,
                      S* saved) {
    const auto gate = [&](int64_t i) { return load(inputs[i]) + product[i] + bias[i]; };
#pragma omp simd
    for (int64_t u = 0; u < units; ++u) {
      const T i = sigmoid(gate(u)), f = sigmoid(gate(units + u));
      const T g = tangent(gate(2 * units + u)), o = sigmoid(gate(3 * units + u));
      c[u] = f * c[u] + i * g;
      h[u] = o * tangent(c[u]);
      if (saved) {
        store(saved + u, i);
        store(saved + units + u, f);
        store(saved + 2 * units + u, g);
        store(saved + 3 * units + u, o);
        store(saved + 4 * units + u, c[u]);
      }
    }
  }

  template <class S>
  static void backward(int64_t units, const S* saved, const S*, const S* before, const T* initial,
                       const S* outputs, T* dh, T* dc, T* product, S* inputs, S*, T* bias) {
#pragma omp simd
    for (int64_t u = 0; u < units; ++u) {
      const T i = load(saved[u]), f = load(saved[units + u]);
      const T g = load(saved[2 * units + u]), o = load(saved[3 * units + u]);
      const T c = tangent(load(saved[4 * units + u]));
      const T d = dh[u] + load(outputs[u]);
      const T e = dc[u] + d * o * (T(1) - c * c);
      const T last = before ? load(before[4 * units + u]) : initial[u];
      const T grads[4] = {e * g * i * (T(1) - i), e * last * f * (T(1) - f),
                          e * i * (T(1) - g * g), d * c * o * (T(1) - o)};
      dc[u] = e * f;
      dh[u] = T(0);
      for (int64_t k = 0; k < 4; ++k) {
        product[k * units + u] = grads[k];
        store(inputs + k * units + u, grads[k]);
        bias[k * units + u] += grads[k];
      }
    }
  }
};

}  // namespace

// The arguments of a call, as kernel.py fills them in. S is the type of the sequences, T float, or
// double where S is.
struct Layer {
  int64_t steps, batch, units, threads, block;
  const int64_t* active;  // (steps,) rows at each step, descending
  const void* weights;    // (G H, H) of S
  const void* bias;       // (4 H) of T
  const void* inputs;     // (N, G H) of S: products with the inputs
  const void* initial;    // (states, B, H) of T
  void* state;            // (states, B, H) of T: the final states; their gradients, then initial's
  void* outputs;          // (B + N, H) of S: the initial h, then all h
  void* saved;            // (N, kSaved H) of S, or null without a gradient
  const void* d_outputs;  // (N, H) of S
  void* d_inputs;         // (N, G H) of S
  void* d_candidate;      // (N, H) of S: a GRU's gradient of n's recurrent product
  void* d_bias;           // (blocks, 4 H) of T
};

namespace {

template <class S, class P, template <class> class C>
struct Run {
  using T = typename P::Value;
  using Operand = typename P::Operand;
  using Cell = C<T>;

  const Layer& layer;
  const int64_t units = layer.units, gates = Cell::kGates * layer.units;
  std::vector<int64_t> offsets;

  explicit Run(const Layer& layer) : layer(layer), offsets(layer.steps) {
    for (int64_t t = 1; t < layer.steps; ++t) offsets[t] = offsets[t - 1] + layer.active[t - 1];
  }

  // Rows of the block from `first` at a step, at most kRows.
  int64_t rows(int64_t first, int64_t step) const {
    return std::clamp(layer.active[step] - first, int64_t(0), layer.block);
  }

  void forward() const {
    const S* weights = static_cast<const S*>(layer.weights);
    const auto packed = P::pack(weights, units, gates, 1, units);
    each_block([&](int64_t first) { forward(first, packed); });
  }

  void forward(int64_t first, const std::vector<Operand>& packed) const {
    const int64_t count = std::min(layer.block, layer.batch - first);
    const int64_t deep = P::depth(units), wide = P::columns(gates);
    std::vector<Operand> operand(kRows * deep);
    std::vector<T> product(kRows * wide);
    T* state = static_cast<T*>(layer.state) + first * units;
    S* outputs = static_cast<S*>(layer.outputs) + first * units;
    const auto keep = [&](int64_t row, S* to) {
      const T* h = state + row * units;
      for (int64_t i = 0; i < units; ++i) store(to + row * units + i, h[i]);
      for (int64_t i = 0; i < units; ++i) P::put(&operand[row * deep + i], h[i]);
    };
    for (int64_t row = 0; row < count; ++row) keep(row, outputs);
    for (int64_t t = 0; t < layer.steps; ++t) {
      const int64_t active = rows(first, t), place = offsets[t] + first;
      if (!active) break;
      P::multiply(operand.data(), deep, packed, product.data(), wide, active, gates, units, false);
      const S* inputs = static_cast<const S*>(layer.inputs) + place * gates;
      S* saved = static_cast<S*>(layer.saved);
      if (saved) saved += place * Cell::kSaved * units;
      for (int64_t row = 0; row < active; ++row) {
        T* h = state + row * units;
        Cell::forward(units, inputs + row * gates, &product[row * wide],
                      static_cast<const T*>(layer.bias), h, h + layer.batch * units,
                      saved ? saved + row * Cell::kSaved * units : nullptr);
        keep(row, outputs + (layer.batch + offsets[t]) * units);
      }
    }
  }

  void backward() const {
    const S* weights = static_cast<const S*>(layer.weights);
    const auto packed = P::pack(weights, gates, units, units, 1);
    each_block([&](int64_t first) { backward(first, packed); });
  }

  void backward(int64_t first, const std::vector<Operand>& packed) const {
    const int64_t count = std::min(layer.block, layer.batch - first);
    const int64_t deep = P::depth(gates), wide = P::columns(units);
    std::vector<Operand> operand(kRows * deep);
    std::vector<T> product(gates), dh(kRows * wide);
    T* state = static_cast<T*>(layer.state) + first * units;
    T* bias = static_cast<T*>(layer.d_bias) + first / layer.block * 4 * units;
    for (int64_t row = 0; row < count; ++row)
      std::copy_n(state + row * units, units, &dh[row * wide]);
    for (int64_t t = layer.steps - 1; t >= 0; --t) {
      const int64_t active = rows(first, t), place = offsets[t] + first;
      if (!active) continue;
      // Rows of the step before: its h in `outputs`, its c in `saved`.
      const int64_t before = t ? layer.batch + offsets[t - 1] + first : first;
      const S* saved = static_cast<const S*>(layer.saved);
      const int64_t cells = (Cell::kStates - 1) * layer.batch;  // an LSTM's c lie behind all h
      for (int64_t row = 0; row < active; ++row) {
        const int64_t at = place + row, last = t ? offsets[t - 1] + first + row : 0;
        Cell::backward(
            units, saved + at * Cell::kSaved * units,
            static_cast<const S*>(layer.outputs) + (before + row) * units,
            t ? saved + last * Cell::kSaved * units : nullptr,
            static_cast<const T*>(layer.initial) + (cells + first + row) * units,
            static_cast<const S*>(layer.d_outputs) + at * units, &dh[row * wide],
            state + (cells + row) * units, product.data(),
            static_cast<S*>(layer.d_inputs) + at * gates,
            static_cast<S*>(layer.d_candidate) + at * units, bias);
        for (int64_t i = 0; i < gates; ++i) P::put(&operand[row * deep + i], product[i]);
      }
      P::multiply(operand.data(), deep, packed, dh.data(), wide, active, units, gates, true);
    }
    for (int64_t row = 0; row < count; ++row)
      std::copy_n(&dh[row * wide], units, state + row * units);
  }

  template <class Work>
  void each_block(const Work& work) const {
    const int64_t blocks = (layer.batch + layer.block - 1) / layer.block;
    const int64_t count = std::min(layer.threads, blocks);
    const auto share = [&](int64_t thread) {
      P::begin();
      for (int64_t block = thread; block < blocks; block += count) work(block * layer.block);
      P::end();
    };
    std::vector<std::thread> threads;
    for (int64_t thread = 1; thread < count; ++thread) threads.emplace_back(share, thread);
    share(0);
    for (auto& thread : threads) thread.join();
  }
};

template <class S, class P>
void run(const Layer& layer, bool lstm, bool backward) {
  const auto work = [&](auto&& it) { backward ? it.backward() : it.forward(); };
  if (lstm) work(Run<S, P, Lstm>(layer));
  else work(Run<S, P, Gru>(layer));
}

// ---- Dropout: whether a value is kept follows from the seed and its place, so that nothing has to
// be remembered for the gradient.

inline uint32_t mix(uint32_t x, uint64_t seed) {  // the end of MurmurHash3, with a seed
  x ^= static_cast<uint32_t>(seed);
  x ^= x >> 16;
  x *= 0x85ebca6bu;
  x += static_cast<uint32_t>(seed >> 32);
  x ^= x >> 13;
  x *= 0xc2b2ae35u;
  return x ^ x >> 16;
}

// Each half of the values takes 16 of the 32 bits that are drawn for a place.
template <class S>
void drop(const void* source, void* target, int64_t count, uint32_t dropped, double scale,
          uint64_t seed) {
  const S* from = static_cast<const S*>(source);
  S* to = static_cast<S*>(target);
  const auto factor = static_cast<decltype(load(*from))>(scale);
  const int64_t half = count / 2;
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const uint32_t bits = mix(static_cast<uint32_t>(i), seed);
    store(to + i, (bits & 0xffff) < dropped ? 0 : load(from[i]) * factor);
    store(to + half + i, (bits >> 16) < dropped ? 0 : load(from[half + i]) * factor);
  }
  if (count % 2) {
    const uint32_t bits = mix(static_cast<uint32_t>(half), seed);
    store(to + count - 1, (bits & 0xffff) < dropped ? 0 : load(from[count - 1]) * factor);
  }
}

}  // namespace

// type: 0 float32, 1 float64, 2 bfloat16. `dropped` of 65536 values are dropped, on average.
extern "C" void drop_values(const void* from, void* to, int64_t count, int type, uint32_t dropped,
                            double scale, uint64_t seed) {
  if (type == 0) drop<float>(from, to, count, dropped, scale, seed);
  else if (type == 1) drop<double>(from, to, count, dropped, scale, seed);
  else drop<BFloat16>(from, to, count, dropped, scale, seed);
}

// type: as above.
extern "C" void run_layer(const Layer* layer, int type, bool lstm, bool backward) {
  if (type == 0) return run<float, Product<Plain<float>>>(*layer, lstm, backward);
  if (type == 1) return run<double, Product<Plain<double>>>(*layer, lstm, backward);
#if defined(HAS_TILES)
  if (Tiles::allowed()) return run<BFloat16, Tiles>(*layer, lstm, backward);
#endif
#if defined(HAS_PAIRS)
  run<BFloat16, Product<Pairs>>(*layer, lstm, backward);
#else
  run<BFloat16, Product<Plain<float>>>(*layer, lstm, backward);
#endif
}
