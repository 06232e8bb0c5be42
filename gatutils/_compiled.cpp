// Graph attention as loops over the edges: what _gat.py, _gatv2.py and _kernels.py compute by
// operations of torch, on a CPU, for float and double. _fused.py and _kernels.py call it.
//
// The sparsity pattern comes as in _csr.py. The entries of row i are those from indptr[i] to
// indptr[i + 1] - 1; `rows` has the row of each, and `indices` its column. Those of column j are
// `order[n]` for n from column_indptr[j] to column_indptr[j + 1] - 1, and `ordered_rows` has the
// rows in this order. Entries have one number per head; rows and columns have `dim` numbers per
// head, side by side.
//
// A thread computes whole rows, or whole columns, so that no two write to the same place, and a
// result does not depend on how many there are. Only the gradient of `a` does, up to rounding: each
// thread adds up its own part.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <tuple>
#include <type_traits>
#include <vector>

namespace {

using at::Tensor;
using Perhaps = std::optional<Tensor>;

#define RESTRICT __restrict__
#define SIMD _Pragma("omp simd")
#define SIMD_SUM _Pragma("omp simd reduction(+ : sum)")
#define SIMD_MAX_AND_SUM _Pragma("omp simd reduction(max : largest) reduction(+ : sum)")
#define UNROLL _Pragma("GCC unroll 16")

// How many entries ahead a state is fetched into the cache.
constexpr int64_t kAhead = 16;

// How many numbers a thread should have to work on at least.
constexpr int64_t kGrain = 32768;

// Raises unless a tensor lies on the CPU and its sizes are those: otherwise a loop would read
// beyond its end. Integers must lie one after the other, too.
void expect(const Tensor& tensor, const char* name, at::IntArrayRef sizes) {
  TORCH_CHECK(tensor.device().is_cpu(), name, ": expected a tensor on the CPU, got ",
              tensor.device());
  TORCH_CHECK(tensor.sizes() == sizes, name, ": expected shape ", sizes, ", got ", tensor.sizes());
  TORCH_CHECK(tensor.is_floating_point() || tensor.is_contiguous(), name, ": expected contiguous");
}

void expect(const Perhaps& tensor, const char* name, at::IntArrayRef sizes) {
  if (tensor) expect(*tensor, name, sizes);
}

void expect_rows(const Tensor& indptr, const Tensor& rows, const Tensor& indices) {
  TORCH_CHECK(indptr.dim() == 1 && indptr.numel() > 0, "indptr: expected one axis");
  expect(indptr, "indptr", indptr.sizes());
  expect(indices, "indices", {indices.numel()});
  expect(rows, "rows", {indices.numel()});
}

void expect_columns(const Tensor& indptr, const Tensor& order, const Tensor& ordered_rows,
                    int64_t columns, int64_t entries) {
  expect(indptr, "column_indptr", {columns + 1});
  expect(order, "order", {entries});
  expect(ordered_rows, "ordered_rows", {entries});
}

template <typename T>
const T* numbers(const Tensor& tensor) {
  return tensor.const_data_ptr<T>();
}

template <typename T>
const T* numbers(const Perhaps& tensor) {
  return tensor ? tensor->const_data_ptr<T>() : nullptr;
}

// A tensor whose numbers lie one after the other, of the dtype of another one.
Perhaps contiguous(const Perhaps& tensor, const Tensor& like) {
  return tensor ? Perhaps(tensor->to(like.scalar_type()).contiguous()) : std::nullopt;
}

// Fetches numbers into the cache that will be needed soon: they lie anywhere in memory.
template <typename T, typename Size>
inline void fetch(const T* from, Size size) {
  constexpr int64_t kLine = 64 / sizeof(T);
  UNROLL
  for (int64_t k = 0; k < size; k += kLine) __builtin_prefetch(from + k);
}

// Calls a function with a size, which for the common ones the compiler knows.
template <typename F>
void with_size(int64_t size, F function) {
  switch (size) {
    case 1: return function(std::integral_constant<int64_t, 1>{});
    case 4: return function(std::integral_constant<int64_t, 4>{});
    case 8: return function(std::integral_constant<int64_t, 8>{});
    case 16: return function(std::integral_constant<int64_t, 16>{});
    case 32: return function(std::integral_constant<int64_t, 32>{});
    case 64: return function(std::integral_constant<int64_t, 64>{});
    default: return function(size);
  }
}

template <typename Size>
constexpr bool kKnown = !std::is_same_v<Size, int64_t>;

// Some numbers: in registers, if the compiler knows how many.
template <typename T, typename Size>
struct Held {
  explicit Held(Size) {}
  T* data() { return held; }
  T held[Size::value];
};

template <typename T>
struct Held<T, int64_t> {
  explicit Held(int64_t size) : held(size) {}
  T* data() { return held.data(); }
  std::vector<T> held;
};

// Calls a function for ranges of entries, or of nodes; `work` is the size of what belongs to one.
template <typename F>
void for_entries(int64_t entries, int64_t work, F function) {
  at::parallel_for(0, entries, kGrain / std::max<int64_t>(work, 1) + 1, function);
}

// Calls a function for ranges of rows. The end of a loop over the entries of a row is a branch that
// the processor often mispredicts, so what can do without such a loop uses for_entries.
template <typename F>
void for_rows(const Tensor& indptr, int64_t entries, int64_t work, F function) {
  const int64_t rows = indptr.numel() - 1;
  const int64_t each = std::max<int64_t>(entries * work / std::max<int64_t>(rows, 1), 1);
  at::parallel_for(0, rows, std::max<int64_t>(kGrain / each, 1), function);
}

template <typename T, typename Size>
inline void clear(T* RESTRICT to, Size size) {
  SIMD
  for (int64_t d = 0; d < size; ++d) to[d] = 0;
}

// 32 bytes of numbers, with which the compiler calculates at once.
template <typename T>
struct Lanes {
  typedef T Vector __attribute__((vector_size(32)));
  static constexpr int64_t kCount = 32 / sizeof(T);
};

template <typename T>
inline typename Lanes<T>::Vector load(const T* from) {
  typename Lanes<T>::Vector vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

// sum_d term(read, d), where `read` reads one number, or as many as fit into a vector.
template <typename T, typename Size, typename F>
inline T sum_of(Size size, F term) {
  constexpr int64_t kCount = Lanes<T>::kCount, kSums = 4;  // which do not wait for each other
  if constexpr (kKnown<Size>) {
    if constexpr (Size::value % (kSums * kCount) == 0) {
      typename Lanes<T>::Vector sums[kSums] = {};
      UNROLL
      for (int64_t d = 0; d < size; d += kSums * kCount) {
        UNROLL
        for (int64_t k = 0; k < kSums; ++k) sums[k] += term(load<T>, d + k * kCount);
      }
      sums[0] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
      T sum = 0;
      UNROLL
      for (int64_t k = 0; k < kCount; ++k) sum += sums[0][k];
      return sum;
    }
  }
  T sum = 0;
  SIMD_SUM
  for (int64_t d = 0; d < size; ++d) sum += term([](const T* from) { return *from; }, d);
  return sum;
}

template <typename T, typename Size>
inline T dot(const T* one, const T* other, Size size) {
  return sum_of<T>(size, [=](auto read, int64_t d) { return read(one + d) * read(other + d); });
}

template <typename T, typename Size>
inline void add_scaled(T* RESTRICT to, T factor, const T* RESTRICT from, Size size) {
  SIMD
  for (int64_t d = 0; d < size; ++d) to[d] += factor * from[d];
}

// Some entries of a row or of a column: their numbers, and where the states at their other ends
// begin. Without `members`, entry n is the n-th.
template <typename T>
struct Entries {
  const int64_t* members;
  const int64_t* ends;
  const T* weights;
  const T* states;
  int64_t count, heads, width;

  const T* weights_of(int64_t n) const { return weights + (members ? members[n] : n) * heads; }
  const T* state_of(int64_t n) const { return states + ends[n] * width; }
};

// The part of a weighted sum of states that fits into `vectors` registers; the part begins with a
// head, or lies in one.
template <int64_t vectors, typename T, typename Size>
inline void sum_part(
    const Entries<T>& given, int64_t from, int64_t until, int64_t at, Size dim, const T* bias,
    T* to) {
  using Vector = typename Lanes<T>::Vector;
  constexpr int64_t kCount = Lanes<T>::kCount;
  const Entries<T> entries = given;  // a copy, which stays in registers
  const int64_t head = at / dim;
  Vector sums[vectors];
  UNROLL
  for (int64_t k = 0; k < vectors; ++k) sums[k] = bias ? load(bias + at + k * kCount) : Vector{};
  for (int64_t n = from; n < until; ++n) {
    if (n + kAhead < entries.count) {
      fetch(entries.state_of(n + kAhead) + at, std::integral_constant<int64_t, vectors * kCount>{});
      if (entries.members && at == 0) __builtin_prefetch(entries.weights_of(n + kAhead));
    }
    const T *weights = entries.weights_of(n) + head, *state = entries.state_of(n) + at;
    UNROLL
    for (int64_t k = 0; k < vectors; ++k) {
      sums[k] += weights[k * kCount / dim] * load(state + k * kCount);
    }
  }
  UNROLL
  for (int64_t k = 0; k < vectors; ++k) std::memcpy(to + at + k * kCount, &sums[k], sizeof(Vector));
}

// b + sum_n w_n s_n over the entries of each row, or of each column, in each head; b may be null.
// With `add`, b is what is in the place of the sum.
template <typename T>
void weighted_sums(const Tensor& bounds, const Entries<T>& entries, int64_t dim, const T* b,
                   bool add, T* sums) {
  const int64_t* first = numbers<int64_t>(bounds);
  with_size(dim, [=, &bounds](auto dim) {
    for_rows(bounds, entries.count, entries.width, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t from = first[i], until = first[i + 1];
        T* to = sums + i * entries.width;
        const T* bias = add ? to : b;
        if (kKnown<decltype(dim)> && dim % Lanes<T>::kCount == 0) {
          constexpr int64_t kCount = Lanes<T>::kCount;
          int64_t at = 0;
          for (; at + 8 * kCount <= entries.width; at += 8 * kCount)
            sum_part<8>(entries, from, until, at, dim, bias, to);
          for (; at + 2 * kCount <= entries.width; at += 2 * kCount)
            sum_part<2>(entries, from, until, at, dim, bias, to);
          for (; at < entries.width; at += kCount)
            sum_part<1>(entries, from, until, at, dim, bias, to);
          continue;
        }
        if (!add) clear(to, entries.width);
        if (b) add_scaled(to, T(1), b, entries.width);
        for (int64_t n = from; n < until; ++n) {
          for (int64_t h = 0; h < entries.heads; ++h)
            add_scaled(
                to + h * dim, entries.weights_of(n)[h], entries.state_of(n) + h * dim, dim);
        }
      }
    });
  });
}

// What one thread has added up of the gradient of `a`. In double precision, since there are as many
// terms as entries: in single precision, a sum of 2^24 equal terms no longer grows.
class ThreadSum {
 public:
  ThreadSum(const Tensor& by_thread, int64_t width)
      : to_(by_thread.mutable_data_ptr<double>()), width_(width) {
    TORCH_CHECK(at::get_thread_num() < by_thread.size(0), "more threads than PyTorch has");
    to_ += at::get_thread_num() * width;
  }

  // Adds some terms' sum, and clears it.
  template <typename T>
  void add(std::vector<T>& terms) {
    for (int64_t k = 0; k < width_; ++k) to_[k] += terms[k];
    std::fill(terms.begin(), terms.end(), 0);
  }

 private:
  double* to_;
  int64_t width_;
};

Tensor thread_sums(int64_t heads, int64_t width) {
  return at::zeros({at::get_num_threads(), heads, width}, at::kDouble);
}

Tensor total(const Tensor& by_thread, at::ScalarType type) {
  return (by_thread.size(0) == 1 ? by_thread[0] : by_thread.sum(0)).to(type);
}

// The gradient of the bias, if it is wanted.
Perhaps of_bias(bool wanted, const Tensor& of_sums) {
  return wanted ? Perhaps(of_sums.sum(0)) : std::nullopt;
}

// Without a branch, which for numbers of either sign would be mispredicted at every other one.
template <typename T>
inline T leaky_relu(T x, T slope) {
  return std::max(x, T(0)) + slope * std::min(x, T(0));
}

template <typename T>
inline typename Lanes<T>::Vector leaky_relu(typename Lanes<T>::Vector x, T slope) {
  return x > 0 ? x : slope * x;
}

// exp(e_ij), or exp(e_ij - max_k e_ik), divided by the sum over the row's entries, in each head.
// `to` may be the scores themselves.
void softmax(const Tensor& scores, bool subtract_maxima, const Tensor& indptr, const Tensor& rows,
             Tensor to) {
  const int64_t *first = numbers<int64_t>(indptr), *row = numbers<int64_t>(rows);
  const int64_t entries = scores.size(0);
  const Tensor of_rows = at::empty({indptr.numel() - 1, scores.size(1)}, scores.options());
  AT_DISPATCH_FLOATING_TYPES(scores.scalar_type(), "softmax", [&] {
    const scalar_t* s = numbers<scalar_t>(scores);
    scalar_t *w = to.mutable_data_ptr<scalar_t>(), *of_row = of_rows.mutable_data_ptr<scalar_t>();
    with_size(scores.size(1), [=, &indptr, &scores, &to](auto heads) {
      if (subtract_maxima) {
        for_rows(indptr, entries, heads, [=](int64_t from, int64_t until) {
          for (int64_t i = from; i < until; ++i) {
            scalar_t* largest = of_row + i * heads;
            std::fill_n(largest, heads, -std::numeric_limits<scalar_t>::infinity());
            for (int64_t e = first[i]; e < first[i + 1]; ++e)
              for (int64_t h = 0; h < heads; ++h)
                largest[h] = std::max(largest[h], s[e * heads + h]);
          }
        });
        for_entries(entries, heads, [=](int64_t from, int64_t until) {
          for (int64_t e = from; e < until; ++e)
            for (int64_t h = 0; h < heads; ++h)
              w[e * heads + h] = s[e * heads + h] - of_row[row[e] * heads + h];
        });
      }
      at::exp_outf(subtract_maxima ? to : scores, to);
      for_rows(indptr, entries, heads, [=](int64_t from, int64_t until) {
        Held<scalar_t, decltype(heads)> total(heads);
        for (int64_t i = from; i < until; ++i) {
          clear(total.data(), heads);
          for (int64_t e = first[i]; e < first[i + 1]; ++e)
            add_scaled(total.data(), scalar_t(1), w + e * heads, heads);
          std::copy_n(total.data(), heads, of_row + i * heads);
        }
      });
      // Divided, not multiplied by the inverse, so that the weight of an only entry is 1.
      for_entries(entries, heads, [=](int64_t from, int64_t until) {
        for (int64_t e = from; e < until; ++e) {
          const scalar_t* RESTRICT total = of_row + row[e] * heads;
          scalar_t* RESTRICT weight = w + e * heads;
          SIMD
          for (int64_t h = 0; h < heads; ++h) weight[h] /= total[h];
        }
      });
    });
  });
}

// c_i = b + sum_j m_ij alpha_ij v_j for each row, in each head.
template <typename T>
void sums_of_rows(const Tensor& weights, const T* values, const Perhaps& mask, const T* bias,
                  const Tensor& indptr, const Tensor& indices, int64_t dim, T* sums) {
  const Tensor carried = mask ? weights * *mask : weights;
  const int64_t heads = weights.size(1);
  const Entries<T> entries{nullptr, numbers<int64_t>(indices), numbers<T>(carried), values,
                           indices.numel(), heads, heads * dim};
  weighted_sums(indptr, entries, dim, bias, false, sums);
}

// sum_i m_ij alpha_ij g_i for each column, in each head: the gradient of v_j; perhaps added to what
// there is of it.
template <typename T>
void sums_of_columns(const Tensor& weights, const T* g, const Perhaps& mask,
                     const Tensor& column_indptr, const Tensor& order, const Tensor& ordered_rows,
                     int64_t dim, bool add, T* sums) {
  const Tensor carried = mask ? weights * *mask : weights;
  const int64_t heads = weights.size(1);
  const T* none = nullptr;
  const Entries<T> entries{numbers<int64_t>(order), numbers<int64_t>(ordered_rows),
                           numbers<T>(carried), g, order.numel(), heads, heads * dim};
  weighted_sums(column_indptr, entries, dim, none, add, sums);
}

// g_i^T v_j for each entry (i, j), in each head.
template <typename T>
void entry_dots(const T* g, const T* v, const Tensor& rows, const Tensor& indices, int64_t heads,
                int64_t dim, T* dots) {
  const int64_t *row = numbers<int64_t>(rows), *column = numbers<int64_t>(indices);
  const int64_t entries = indices.numel(), width = heads * dim;
  with_size(dim, [=](auto dim) {
    for_entries(entries, width, [=](int64_t from, int64_t until) {
      for (int64_t e = from; e < until; ++e) {
        const T* next = v + column[std::min(e + kAhead, entries - 1)] * width;
        for (int64_t h = 0; h < heads; ++h) {
          fetch(next + h * dim, dim);
          dots[e * heads + h] =
              dot(g + row[e] * width + h * dim, v + column[e] * width + h * dim, dim);
        }
      }
    });
  });
}

// Replaces g_i^T v_j by the gradient of each score, alpha_ij (a_ij - sum_k alpha_ik a_ik), where
// that of alpha_ij is a_ij = m_ij g_i^T v_j, plus another one if the weights are used elsewhere
// too. Then `then(i, entry, heads, sum)` may change the gradient, and add to the sum of the row,
// which is stored if `of_rows` is not null.
template <typename T, typename F>
void softmax_backward(const T* more, const T* alpha, const T* m, const Tensor& indptr,
                      int64_t entries, int64_t heads, T* of_scores, T* of_rows, F then) {
  const int64_t* first = numbers<int64_t>(indptr);
  with_size(heads, [=, &indptr](auto heads) {
    for_rows(indptr, entries, heads, [=](int64_t from, int64_t until) {
      Held<T, decltype(heads)> mean(heads), sum(heads);  // the mean is sum_k alpha_ik a_ik
      for (int64_t i = from; i < until; ++i) {
        clear(mean.data(), heads);
        clear(sum.data(), heads);
        for (int64_t e = first[i]; e < first[i + 1]; ++e) {
          T* RESTRICT of_e = of_scores + e * heads;
          if (m) {
            SIMD
            for (int64_t h = 0; h < heads; ++h) of_e[h] *= m[e * heads + h];
          }
          if (more) add_scaled(of_e, T(1), more + e * heads, heads);
          SIMD
          for (int64_t h = 0; h < heads; ++h) mean.data()[h] += alpha[e * heads + h] * of_e[h];
        }
        for (int64_t e = first[i]; e < first[i + 1]; ++e) {
          T* of_e = of_scores + e * heads;
          SIMD
          for (int64_t h = 0; h < heads; ++h)
            of_e[h] = alpha[e * heads + h] * (of_e[h] - mean.data()[h]);
          then(i, e, heads, sum.data());
        }
        if (of_rows) std::copy_n(sum.data(), heads, of_rows + i * heads);
      }
    });
  });
}

// alpha_ij = exp(e_ij) / sum_k exp(e_ik) and c_i = sum_j m_ij alpha_ij v_j, in each head.
std::tuple<Tensor, Tensor> softmax_and_sums(
    const Tensor& scores, const Tensor& values, const Perhaps& mask, bool subtract_maxima,
    const Tensor& indptr, const Tensor& rows, const Tensor& indices) {
  expect_rows(indptr, rows, indices);
  TORCH_CHECK(values.dim() == 3, "values: expected (nodes, heads, dim), got ", values.sizes());
  const int64_t heads = values.size(1), dim = values.size(2);
  expect(values, "values", values.sizes());
  expect(scores, "scores", {indices.numel(), heads});
  expect(mask, "mask", {indices.numel(), heads});
  const Tensor given = scores.contiguous(), of_columns = values.contiguous();
  const Perhaps kept = contiguous(mask, values);
  Tensor weights = at::empty_like(given);
  Tensor sums = at::empty({indptr.numel() - 1, heads, dim}, values.options());
  softmax(given, subtract_maxima, indptr, rows, weights);
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "softmax_and_sums", [&] {
    const scalar_t* none = nullptr;
    sums_of_rows(weights, numbers<scalar_t>(of_columns), kept, none, indptr, indices, dim,
                 sums.mutable_data_ptr<scalar_t>());
  });
  return {sums, weights};
}

// The gradients of the scores and of the values, given those of c_i and, if the weights are used
// elsewhere too, of alpha_ij; see _SoftmaxAndSums.
std::tuple<Tensor, Tensor> softmax_and_sums_backward(
    const Tensor& of_sums, const Perhaps& of_weights, const Tensor& weights, const Tensor& values,
    const Perhaps& mask, const Tensor& indptr, const Tensor& rows, const Tensor& indices,
    const Tensor& column_indptr, const Tensor& order, const Tensor& ordered_rows) {
  const int64_t entries = indices.numel(), heads = values.size(1), dim = values.size(2);
  expect(of_sums, "gradient", {indptr.numel() - 1, heads, dim});
  expect(of_weights, "gradient of the weights", {entries, heads});
  expect(weights, "weights", {entries, heads});
  expect(mask, "mask", {entries, heads});
  expect_rows(indptr, rows, indices);
  expect_columns(column_indptr, order, ordered_rows, values.size(0), entries);
  const Tensor given = of_sums.contiguous(), of_columns = values.contiguous();
  const Tensor shares = weights.contiguous();
  const Perhaps kept = contiguous(mask, values), used = contiguous(of_weights, values);
  Tensor of_scores = at::empty_like(shares), of_values = at::empty_like(of_columns);
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "softmax_and_sums_backward", [&] {
    const scalar_t *g = numbers<scalar_t>(given), *v = numbers<scalar_t>(of_columns);
    scalar_t *of_e = of_scores.mutable_data_ptr<scalar_t>(), *nowhere = nullptr;
    entry_dots(g, v, rows, indices, heads, dim, of_e);
    softmax_backward(numbers<scalar_t>(used), numbers<scalar_t>(shares), numbers<scalar_t>(kept),
                     indptr, entries, heads, of_e, nowhere, [](auto...) {});
    sums_of_columns(shares, g, kept, column_indptr, order, ordered_rows, dim, false,
                    of_values.mutable_data_ptr<scalar_t>());
  });
  return {of_scores, of_values};
}

// The halves of a node's scores: a_1^T s_n, for the first `rows` nodes, and a_2^T s_n, in each
// head. `a` has the numbers of a_1 and then those of a_2. Where one is not wanted, it goes nowhere.
template <typename T>
void score_halves(const T* states, const T* a, int64_t nodes, int64_t rows, int64_t heads,
                  int64_t dim, T* of_rows, T* of_columns) {
  with_size(dim, [=](auto dim) {
    for_entries(nodes, heads * dim, [=](int64_t from, int64_t until) {
      for (int64_t n = from; n < until; ++n) {
        for (int64_t h = 0; h < heads; ++h) {
          const int64_t at = n * heads + h;
          const T *state = states + at * dim, *vector = a + 2 * h * dim;
          if (of_rows && n < rows) of_rows[at] = dot(state, vector, dim);
          if (of_columns) of_columns[at] = dot(state, vector + dim, dim);
        }
      }
    });
  });
}

// LeakyReLU(q_i + k_j + x_ij) for each entry (i, j), in each head.
template <typename T>
void gat_scores(const T* q, const T* k, const T* x, T slope, const Tensor& rows,
                const Tensor& indices, int64_t heads, T* scores) {
  const int64_t *row = numbers<int64_t>(rows), *column = numbers<int64_t>(indices);
  const int64_t entries = indices.numel();
  with_size(heads, [=](auto heads) {
    for_entries(entries, heads, [=](int64_t from, int64_t until) {
      for (int64_t e = from; e < until; ++e) {
        fetch(k + column[std::min(e + kAhead, entries - 1)] * heads, heads);
        const T *of_i = q + row[e] * heads, *of_j = k + column[e] * heads;
        T* RESTRICT score = scores + e * heads;
        SIMD
        for (int64_t h = 0; h < heads; ++h) score[h] = of_i[h] + of_j[h];
        if (x) add_scaled(score, T(1), x + e * heads, heads);
        SIMD
        for (int64_t h = 0; h < heads; ++h) score[h] = leaky_relu(score[h], slope);
      }
    });
  });
}

// sum_i f_ij for each column, in each head.
template <typename T>
void sums_of_entries(const T* f, const Tensor& column_indptr, const Tensor& order, int64_t heads,
                     T* sums) {
  const int64_t *first = numbers<int64_t>(column_indptr), *entry = numbers<int64_t>(order);
  const int64_t entries = order.numel();
  with_size(heads, [=, &column_indptr](auto heads) {
    for_rows(column_indptr, entries, heads, [=](int64_t from, int64_t until) {
      Held<T, decltype(heads)> sum(heads);
      for (int64_t j = from; j < until; ++j) {
        clear(sum.data(), heads);
        for (int64_t n = first[j]; n < first[j + 1]; ++n) {
          if (n + kAhead < entries) __builtin_prefetch(f + entry[n + kAhead] * heads);
          add_scaled(sum.data(), T(1), f + entry[n] * heads, heads);
        }
        std::copy_n(sum.data(), heads, sums + j * heads);
      }
    });
  });
}

// Given the gradient f_n of a^T s_n and, if there is a second, that of a_2^T s_n: adds f_n a (and
// the other f_n a_2) to the gradient of s_n, and sum_n f_n s_n to those of a and a_2. `a` and `a_2`
// are at these offsets among the 2 dim numbers of each head.
template <typename T>
void products_backward(
    const T* f, const T* f_2, const T* states, const T* vectors, int64_t a, int64_t a_2,
    int64_t nodes, int64_t heads, int64_t dim, T* of_states, const Tensor& of_vectors) {
  constexpr int64_t kNodes = 256;  // whose terms are added up before they enter the sums
  with_size(dim, [=, &of_vectors](auto dim) {
    const int64_t width = 2 * heads * dim;
    for_entries(nodes, width, [=, &of_vectors](int64_t from, int64_t until) {
      ThreadSum sum(of_vectors, width);
      std::vector<T> terms(width);
      for (int64_t n = from; n < until; ++n) {
        for (int64_t h = 0; h < heads; ++h) {
          const T f_n = f[n * heads + h], f_2n = f_2 ? f_2[n * heads + h] : 0;
          const T* RESTRICT state = states + (n * heads + h) * dim;
          const T* RESTRICT vector = vectors + 2 * h * dim + a;
          const T* RESTRICT vector_2 = vectors + 2 * h * dim + a_2;
          T* RESTRICT of_state = of_states + (n * heads + h) * dim;
          T* RESTRICT of_vector = terms.data() + 2 * h * dim + a;
          if (f_2 == nullptr) {
            SIMD
            for (int64_t d = 0; d < dim; ++d) {
              of_state[d] += f_n * vector[d];
              of_vector[d] += f_n * state[d];
            }
            continue;
          }
          T* RESTRICT of_vector_2 = terms.data() + 2 * h * dim + a_2;
          SIMD
          for (int64_t d = 0; d < dim; ++d) {
            of_state[d] += f_n * vector[d] + f_2n * vector_2[d];
            of_vector[d] += f_n * state[d];
            of_vector_2[d] += f_2n * state[d];
          }
        }
        if (n % kNodes == 0 || n + 1 == until) sum.add(terms);
      }
    });
  });
}

// The largest magnitude of some numbers; NaN if one of them is NaN or infinite.
double magnitude(const Tensor& tensor) {
  double found = 0;
  AT_DISPATCH_FLOATING_TYPES(tensor.scalar_type(), "magnitude", [&] {
    const scalar_t* x = numbers<scalar_t>(tensor);
    const auto of_some = [=](int64_t from, int64_t until, double) -> double {
      scalar_t largest = 0, sum = 0;  // the sum is of zeros, unless a number is not finite
      SIMD_MAX_AND_SUM
      for (int64_t n = from; n < until; ++n) {
        largest = std::max(largest, std::abs(x[n]));
        sum += x[n] * scalar_t(0);
      }
      return largest + sum;
    };
    found = at::parallel_reduce(
        int64_t(0), tensor.numel(), kGrain, 0.0, of_some,
        [](double one, double other) { return std::isnan(one) || one > other ? one : other; });
  });
  return found;
}

// GAT: the softmax and the sums for the scores LeakyReLU(a_1^T q_i + a_2^T v_j + x_ij), with a
// bias. The values are the keys. Without queries they are the queries too, and may be more than
// there are rows. The results are c_i + b, with the heads side by side, alpha_ij, the halves of the
// scores, those of the rows first, and a bound on the magnitude of the scores. If a state or a
// score is NaN or infinite, so is the bound, and nothing else has been computed.
std::tuple<Tensor, Tensor, double, Tensor> gat(
    const Perhaps& queries, const Tensor& values, const Tensor& a, const Perhaps& terms,
    const Perhaps& mask, const Perhaps& bias, double negative_slope, double limit,
    const Tensor& indptr, const Tensor& rows, const Tensor& indices) {
  expect_rows(indptr, rows, indices);
  TORCH_CHECK(values.dim() == 3, "values: expected (nodes, heads, dim), got ", values.sizes());
  const int64_t entries = indices.numel(), num_rows = indptr.numel() - 1;
  const int64_t columns = values.size(0), heads = values.size(1), dim = values.size(2);
  expect(values, "values", values.sizes());
  expect(queries, "queries", {num_rows, heads, dim});
  TORCH_CHECK(queries || columns >= num_rows, "values: expected ", num_rows, " or more, got ",
              columns);
  expect(a, "a", {heads, 2 * dim});
  expect(terms, "terms", {entries, heads});
  expect(mask, "mask", {entries, heads});
  expect(bias, "bias", {heads * dim});
  const Tensor of_columns = values.contiguous(), vectors = a.contiguous();
  const Perhaps of_rows = contiguous(queries, values), of_entries = contiguous(terms, values);
  const Perhaps kept = contiguous(mask, values), added = contiguous(bias, values);
  const Tensor halves = at::empty({(num_rows + columns) * heads}, values.options());
  const Tensor weights = at::empty({entries, heads}, values.options());
  const Tensor sums = at::empty({num_rows, heads * dim}, values.options());
  double largest = 0;
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "gat", [&] {
    const scalar_t *v = numbers<scalar_t>(of_columns), *vector = numbers<scalar_t>(vectors);
    scalar_t *q = halves.mutable_data_ptr<scalar_t>(), *k = q + num_rows * heads, *none = nullptr;
    if (of_rows)
      score_halves(numbers<scalar_t>(of_rows), vector, num_rows, num_rows, heads, dim, q, none);
    score_halves(v, vector, columns, num_rows, heads, dim, of_rows ? none : q, k);
    largest = magnitude(halves);
    if (!std::isfinite(largest)) return;
    gat_scores(q, k, numbers<scalar_t>(of_entries), scalar_t(negative_slope), rows, indices,
               heads, weights.mutable_data_ptr<scalar_t>());
    largest = 2 * largest + (of_entries ? magnitude(*of_entries) : 0);
    largest *= std::max(1.0, std::abs(negative_slope));
    if (!(largest <= limit)) largest = magnitude(weights);
    if (!std::isfinite(largest)) return;
    softmax(weights, largest > limit, indptr, rows, weights);
    sums_of_rows(weights, v, kept, numbers<scalar_t>(added), indptr, indices, dim,
                 sums.mutable_data_ptr<scalar_t>());
  });
  return {sums, weights, largest, halves};
}

// The gradients of bias, queries, values, a and x, given those of c_i and, if the weights are used
// elsewhere too, of alpha_ij. Without queries, the gradient of the values is that of both.
std::tuple<Perhaps, Perhaps, Tensor, Tensor, Tensor> gat_backward(
    const Tensor& of_sums, const Perhaps& of_weights, const Tensor& weights, const Tensor& halves,
    const Perhaps& queries, const Tensor& values, const Tensor& a, const Perhaps& terms,
    const Perhaps& mask, bool with_bias, double negative_slope, const Tensor& indptr,
    const Tensor& rows, const Tensor& indices, const Tensor& column_indptr, const Tensor& order,
    const Tensor& ordered_rows) {
  const int64_t entries = indices.numel(), num_rows = indptr.numel() - 1;
  const int64_t columns = values.size(0), heads = values.size(1), dim = values.size(2);
  expect(of_sums, "gradient", {num_rows, heads * dim});
  expect(of_weights, "gradient of the weights", {entries, heads});
  expect(weights, "weights", {entries, heads});
  expect(halves, "halves", {(num_rows + columns) * heads});
  expect(a, "a", {heads, 2 * dim});
  expect(queries, "queries", {num_rows, heads, dim});
  expect(terms, "terms", {entries, heads});
  expect(mask, "mask", {entries, heads});
  expect_rows(indptr, rows, indices);
  expect_columns(column_indptr, order, ordered_rows, columns, entries);
  const Tensor given = of_sums.contiguous(), of_columns = values.contiguous();
  const Tensor vectors = a.contiguous(), shares = weights.contiguous();
  const Perhaps of_rows = contiguous(queries, values), of_entries = contiguous(terms, values);
  const Perhaps kept = contiguous(mask, values), used = contiguous(of_weights, values);
  // In a block there are more queries than rows, and the gradient of the others is zero.
  const Tensor by_query = at::zeros({of_rows ? num_rows : columns, heads}, values.options());
  const Tensor by_key = at::empty({columns, heads}, values.options());
  const Tensor of_terms = at::empty_like(shares), of_values = at::empty_like(of_columns);
  const Perhaps of_queries = of_rows ? Perhaps(at::zeros_like(*of_rows)) : std::nullopt;
  const Tensor of_a = thread_sums(heads, 2 * dim);
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "gat_backward", [&] {
    const scalar_t *g = numbers<scalar_t>(given), *v = numbers<scalar_t>(of_columns);
    const scalar_t *vector = numbers<scalar_t>(vectors), *none = nullptr;
    const scalar_t *q = numbers<scalar_t>(halves), *k = q + num_rows * heads;
    scalar_t* of_e = of_terms.mutable_data_ptr<scalar_t>();
    scalar_t* of_v = of_values.mutable_data_ptr<scalar_t>();
    scalar_t* of_q = by_query.mutable_data_ptr<scalar_t>();
    scalar_t* of_k = by_key.mutable_data_ptr<scalar_t>();
    const scalar_t *x = numbers<scalar_t>(of_entries), slope = negative_slope;
    const int64_t* column = numbers<int64_t>(indices);
    entry_dots(g, v, rows, indices, heads, dim, of_e);
    softmax_backward(
        numbers<scalar_t>(used), numbers<scalar_t>(shares), numbers<scalar_t>(kept), indptr,
        entries, heads, of_e, of_q, [=](int64_t i, int64_t e, auto heads, scalar_t* RESTRICT sum) {
          // Where the sum is negative, which is found once more, the slope enters.
          const scalar_t *of_i = q + i * heads, *of_j = k + column[e] * heads;
          scalar_t* RESTRICT of_z = of_e + e * heads;
          // Of one head they are looked up, as a branch would be mispredicted.
          const scalar_t derivatives[2] = {slope, 1};
          SIMD
          for (int64_t h = 0; h < heads; ++h) {
            const scalar_t half = of_i[h] + of_j[h], z = x ? half + x[e * heads + h] : half;
            of_z[h] *= heads == 1 ? derivatives[z > 0] : (z > 0 ? scalar_t(1) : slope);
            sum[h] += of_z[h];
          }
        });
    sums_of_entries(of_e, column_indptr, order, heads, of_k);
    sums_of_columns(shares, g, kept, column_indptr, order, ordered_rows, dim, false, of_v);
    products_backward(of_k, of_rows ? none : of_q, v, vector, dim, 0, columns, heads, dim, of_v,
                      of_a);
    if (of_rows)
      products_backward(of_q, none, numbers<scalar_t>(of_rows), vector, 0, 0, num_rows, heads,
                        dim, of_queries->mutable_data_ptr<scalar_t>(), of_a);
  });
  return {of_bias(with_bias, given), of_queries, of_values, total(of_a, a.scalar_type()), of_terms};
}

// GATv2: the same for the scores a^T LeakyReLU(q_i + v_j). What is returned is c_i + b, alpha_ij,
// and a bound on the magnitude of the scores.
std::tuple<Tensor, Tensor, double> gatv2(
    const Tensor& queries, const Tensor& values, const Tensor& a, const Perhaps& mask,
    const Perhaps& bias, double negative_slope, double limit, const Tensor& indptr,
    const Tensor& rows, const Tensor& indices) {
  expect_rows(indptr, rows, indices);
  TORCH_CHECK(values.dim() == 3, "values: expected (nodes, heads, dim), got ", values.sizes());
  const int64_t entries = indices.numel(), num_rows = indptr.numel() - 1;
  const int64_t heads = values.size(1), dim = values.size(2);
  expect(values, "values", values.sizes());
  expect(queries, "queries", {num_rows, heads, dim});
  expect(a, "a", {heads, dim});
  expect(mask, "mask", {entries, heads});
  expect(bias, "bias", {heads * dim});
  const Tensor of_rows = queries.contiguous(), of_columns = values.contiguous();
  const Tensor vectors = a.contiguous();
  const Perhaps kept = contiguous(mask, values), added = contiguous(bias, values);
  const Tensor weights = at::empty({entries, heads}, values.options());
  const Tensor sums = at::empty({num_rows, heads * dim}, values.options());
  const int64_t *row = numbers<int64_t>(rows), *column = numbers<int64_t>(indices);
  double largest = 0;
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "gatv2", [&] {
    const scalar_t *q = numbers<scalar_t>(of_rows), *v = numbers<scalar_t>(of_columns);
    const scalar_t *vector = numbers<scalar_t>(vectors), slope = negative_slope;
    scalar_t* to = weights.mutable_data_ptr<scalar_t>();
    with_size(dim, [=](auto dim) {
      const int64_t width = heads * dim;
      for_entries(entries, width, [=](int64_t from, int64_t until) {
        for (int64_t e = from; e < until; ++e) {
          const scalar_t* next = v + column[std::min(e + kAhead, entries - 1)] * width;
          for (int64_t h = 0; h < heads; ++h) {
            fetch(next + h * dim, dim);
            const scalar_t *of_i = q + row[e] * width + h * dim, *of_h = vector + h * dim;
            const scalar_t* of_j = v + column[e] * width + h * dim;
            to[e * heads + h] = sum_of<scalar_t>(dim, [=](auto read, int64_t d) {
              return read(of_h + d) * leaky_relu(read(of_i + d) + read(of_j + d), slope);
            });
          }
        }
      });
    });
    largest = magnitude(weights);
    if (!std::isfinite(largest)) return;
    softmax(weights, largest > limit, indptr, rows, weights);
    sums_of_rows(weights, v, kept, numbers<scalar_t>(added), indptr, indices, dim,
                 sums.mutable_data_ptr<scalar_t>());
  });
  return {sums, weights, largest};
}

// With f_n, the gradients of the scores of a node's entries, and z_n, the sum of its state and of
// the one at the entry's other end: sum_n f_n LeakyReLU'(z_n) a, and sum_n f_n LeakyReLU'(z_n) z_n
// is added to the terms, if there are any. This is the part that fits into `vectors` registers.
template <int64_t vectors, typename T, typename Size>
inline void gatv2_part(const Entries<T>& given, int64_t from, int64_t until, int64_t at, Size dim,
                       const T* state, const T* a, T slope, T* sum, T* terms) {
  using Vector = typename Lanes<T>::Vector;
  constexpr int64_t kCount = Lanes<T>::kCount;
  const Entries<T> entries = given;  // a copy, which stays in registers
  const int64_t head = at / dim;
  Vector own[vectors], sums[vectors] = {}, weighted[vectors] = {};
  UNROLL
  for (int64_t k = 0; k < vectors; ++k) own[k] = load(state + at + k * kCount);
  for (int64_t n = from; n < until; ++n) {
    if (n + kAhead < entries.count) {
      fetch(entries.state_of(n + kAhead) + at, std::integral_constant<int64_t, vectors * kCount>{});
      if (entries.members && at == 0) __builtin_prefetch(entries.weights_of(n + kAhead));
    }
    const T *f = entries.weights_of(n) + head, *other = entries.state_of(n) + at;
    UNROLL
    for (int64_t k = 0; k < vectors; ++k) {
      const Vector above = Vector{} + f[k * kCount / dim], below = slope * above;
      const Vector z = own[k] + load(other + k * kCount), factor = z > 0 ? above : below;
      sums[k] += factor;
      if (terms) weighted[k] += factor * z;
    }
  }
  UNROLL
  for (int64_t k = 0; k < vectors; ++k) {
    const int64_t d = at + k * kCount;
    const Vector product = sums[k] * load(a + d);
    std::memcpy(sum + d, &product, sizeof(Vector));
    if (!terms) continue;
    const Vector more = load(terms + d) + weighted[k];
    std::memcpy(terms + d, &more, sizeof(Vector));
  }
}

// The same for all rows, or all columns: their gradients, and that of `a`, if it is wanted.
template <typename T>
void gatv2_sums(const Tensor& bounds, const Entries<T>& entries, int64_t dim, const T* states,
                const T* a, T slope, T* sums, const Tensor* of_a) {
  const int64_t *first = numbers<int64_t>(bounds), width = entries.width;
  with_size(dim, [=, &bounds](auto dim) {
    for_rows(bounds, entries.count, width, [=](int64_t begin, int64_t end) {
      std::optional<ThreadSum> of_vectors;
      if (of_a) of_vectors.emplace(*of_a, width);
      std::vector<T> held(width);
      T* terms = of_a ? held.data() : nullptr;
      for (int64_t i = begin; i < end; ++i) {
        const T* own = states + i * width;
        T* sum = sums + i * width;
        constexpr int64_t kCount = Lanes<T>::kCount, kPart = 4 * kCount;
        if (kKnown<decltype(dim)> && dim % kCount == 0) {
          int64_t at = 0;
          for (; at + kPart <= width; at += kPart)
            gatv2_part<4>(entries, first[i], first[i + 1], at, dim, own, a, slope, sum, terms);
          for (; at < width; at += kCount)
            gatv2_part<1>(entries, first[i], first[i + 1], at, dim, own, a, slope, sum, terms);
        } else {
          clear(sum, width);
          for (int64_t n = first[i]; n < first[i + 1]; ++n) {
            for (int64_t h = 0; h < entries.heads; ++h) {
              const T above = entries.weights_of(n)[h], below = slope * above;
              const T* of_i = own + h * dim;
              const T* of_j = entries.state_of(n) + h * dim;
              for (int64_t d = 0; d < dim; ++d) {
                const T z = of_i[d] + of_j[d], factor = z > 0 ? above : below;
                sum[h * dim + d] += factor;
                if (terms) terms[h * dim + d] += factor * z;
              }
            }
          }
          for (int64_t d = 0; d < width; ++d) sum[d] *= a[d];
        }
        if (of_a) of_vectors->add(held);
      }
    });
  });
}

// The gradients of bias, queries, values and a. With f_ij, the gradient of the score, and z_ij =
// q_i + v_j, that of q_i is sum_j f_ij LeakyReLU'(z_ij) a, that of v_j is the same sum over i, plus
// that of the weighted sums, and that of a is sum_ij f_ij LeakyReLU(z_ij), where LeakyReLU(z) =
// LeakyReLU'(z) z.
std::tuple<Perhaps, Tensor, Tensor, Tensor> gatv2_backward(
    const Tensor& of_sums, const Perhaps& of_weights, const Tensor& weights, const Tensor& queries,
    const Tensor& values, const Tensor& a, const Perhaps& mask, bool with_bias,
    double negative_slope, const Tensor& indptr, const Tensor& rows, const Tensor& indices,
    const Tensor& column_indptr, const Tensor& order, const Tensor& ordered_rows) {
  const int64_t entries = indices.numel(), heads = a.size(0), dim = a.size(1);
  expect(of_sums, "gradient", {indptr.numel() - 1, heads * dim});
  expect(of_weights, "gradient of the weights", {entries, heads});
  expect(weights, "weights", {entries, heads});
  expect(queries, "queries", {indptr.numel() - 1, heads, dim});
  expect(values, "values", {values.size(0), heads, dim});
  expect(mask, "mask", {entries, heads});
  expect_rows(indptr, rows, indices);
  expect_columns(column_indptr, order, ordered_rows, values.size(0), entries);
  const Tensor given = of_sums.contiguous(), shares = weights.contiguous();
  const Tensor of_rows = queries.contiguous(), of_columns = values.contiguous();
  const Tensor vectors = a.contiguous();
  const Perhaps kept = contiguous(mask, values), used = contiguous(of_weights, values);
  const Tensor of_queries = at::empty_like(of_rows), of_values = at::empty_like(of_columns);
  const Tensor of_scores = at::empty_like(shares), of_a = thread_sums(heads, dim);
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "gatv2_backward", [&] {
    const scalar_t *g = numbers<scalar_t>(given), *q = numbers<scalar_t>(of_rows);
    const scalar_t *v = numbers<scalar_t>(of_columns), *vector = numbers<scalar_t>(vectors);
    const scalar_t slope = negative_slope;
    scalar_t *f = of_scores.mutable_data_ptr<scalar_t>(), *nowhere = nullptr;
    scalar_t* of_v = of_values.mutable_data_ptr<scalar_t>();
    entry_dots(g, v, rows, indices, heads, dim, f);
    softmax_backward(numbers<scalar_t>(used), numbers<scalar_t>(shares), numbers<scalar_t>(kept),
                     indptr, entries, heads, f, nowhere, [](auto...) {});
    const Entries<scalar_t> of_row{
        nullptr, numbers<int64_t>(indices), f, v, entries, heads, heads * dim};
    const Entries<scalar_t> of_column{
        numbers<int64_t>(order), numbers<int64_t>(ordered_rows), f, q, entries, heads, heads * dim};
    gatv2_sums(indptr, of_row, dim, q, vector, slope, of_queries.mutable_data_ptr<scalar_t>(),
               &of_a);
    gatv2_sums(column_indptr, of_column, dim, v, vector, slope, of_v, nullptr);
    sums_of_columns(shares, g, kept, column_indptr, order, ordered_rows, dim, true, of_v);
  });
  return {of_bias(with_bias, given), of_queries, of_values, total(of_a, a.scalar_type())};
}

}  // namespace

TORCH_LIBRARY(gatutils, library) {
  library.def("gat", &gat);
  library.def("gat_backward", &gat_backward);
  library.def("softmax_and_sums", &softmax_and_sums);
  library.def("softmax_and_sums_backward", &softmax_and_sums_backward);
  library.def("gatv2", &gatv2);
  library.def("gatv2_backward", &gatv2_backward);
}
