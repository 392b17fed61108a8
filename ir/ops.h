// Every operator tvc knows, one line each. This page is the map of the compiler.
// To add an operator: add a line, then write the functions it names in ir/ops/*.c.
//
//   in      number of inputs
//   kind    how fusion and scheduling may treat it          (op.h)
//   infer   shape and type of the result                     infer_*
//   expand  itself, in terms of simpler operators            expand_*
//   emit    one element of the result, as a scalar formula   emit_*
//
// A blank cell is _ : op.c says what that means. An operator with neither expand nor emit is a
// hand-written body (kind BODY).
//
//  name             in  kind      infer        expand        emit
OP( Input,           0,  LEAF,     _,           _,            _           )
OP( Param,           0,  LEAF,     _,           _,            _           )
OP( Const,           0,  LEAF,     _,           _,            const       )

// ---- element-wise (ir/ops/eltwise.c) ----
OP( Add,             2,  COMM,     bcast,       _,            add         )
OP( Sub,             2,  EWISE,    bcast,       _,            sub         )
OP( Mul,             2,  COMM,     bcast,       _,            mul         )
OP( Div,             2,  EWISE,    bcast,       _,            div         )
OP( Mod,             2,  EWISE,    bcast,       _,            mod         )   // sign of the divisor
OP( FMod,            2,  EWISE,    bcast,       _,            fmod        )   // sign of the dividend
OP( Pow,             2,  EWISE,    bcast,       _,            pow         )
OP( Max,             2,  COMM,     bcast,       _,            max         )
OP( Min,             2,  COMM,     bcast,       _,            min         )
OP( BitAnd,          2,  COMM,     bcast,       _,            bit_and     )
OP( BitOr,           2,  COMM,     bcast,       _,            bit_or      )
OP( BitXor,          2,  COMM,     bcast,       _,            bit_xor     )
OP( ShiftLeft,       2,  EWISE,    bcast,       _,            shift_left  )
OP( ShiftRight,      2,  EWISE,    bcast,       _,            shift_right )
OP( Equal,           2,  COMM,     compare,     _,            equal       )
OP( Less,            2,  EWISE,    compare,     _,            less        )
OP( LessEqual,       2,  EWISE,    compare,     _,            less_equal  )
OP( And,             2,  COMM,     compare,     _,            and         )
OP( Or,              2,  COMM,     compare,     _,            or          )
OP( Xor,             2,  COMM,     compare,     _,            xor         )
OP( Not,             1,  EWISE,    test,        _,            not         )
OP( IsNaN,           1,  EWISE,    test,        _,            isnan       )
OP( IsInf,           1,  EWISE,    test,        _,            isinf       )
OP( Where,           3,  EWISE,    where,       _,            where       )
OP( Cast,            1,  EWISE,    cast,        _,            cast        )
OP( BitNot,          1,  EWISE,    same,        _,            bit_not     )
OP( Neg,             1,  EWISE,    same,        _,            neg         )
OP( Abs,             1,  EWISE,    same,        _,            abs         )
OP( Sign,            1,  EWISE,    same,        _,            sign        )
OP( Floor,           1,  EWISE,    same,        _,            floor       )
OP( Ceil,            1,  EWISE,    same,        _,            ceil        )
OP( Round,           1,  EWISE,    same,        _,            round       )   // half to even
OP( Trunc,           1,  EWISE,    same,        _,            trunc       )
OP( Sqrt,            1,  EWISE,    same,        _,            sqrt        )
OP( Exp,             1,  EWISE,    same,        _,            exp         )
OP( Log,             1,  EWISE,    same,        _,            log         )
OP( Log1p,           1,  EWISE,    same,        _,            log1p       )
OP( Sin,             1,  EWISE,    same,        _,            sin         )
OP( Cos,             1,  EWISE,    same,        _,            cos         )
OP( Tan,             1,  EWISE,    same,        _,            tan         )
OP( Asin,            1,  EWISE,    same,        _,            asin        )
OP( Acos,            1,  EWISE,    same,        _,            acos        )
OP( Atan,            1,  EWISE,    same,        _,            atan        )
OP( Sinh,            1,  EWISE,    same,        _,            sinh        )
OP( Cosh,            1,  EWISE,    same,        _,            cosh        )
OP( Tanh,            1,  EWISE,    same,        _,            tanh        )
OP( Asinh,           1,  EWISE,    same,        _,            asinh       )
OP( Acosh,           1,  EWISE,    same,        _,            acosh       )
OP( Atanh,           1,  EWISE,    same,        _,            atanh       )
OP( Erf,             1,  EWISE,    same,        _,            erf         )
OP( Relu,            1,  EWISE,    same,        _,            relu        )
OP( Sigmoid,         1,  EWISE,    same,        sigmoid,      _           )

// ---- movement (ir/ops/move.c) ----
OP( Transpose,       1,  MOVE,     transpose,   _,            transpose   )   // attr: permutation
OP( Reshape,         1,  MOVE,     reshape,     _,            reshape     )   // attr: shape
OP( Expand,          1,  MOVE,     expand,      _,            expand      )   // attr: shape
OP( Slice,           1,  MOVE,     slice,       _,            slice       )   // attr: starts, steps, sizes
OP( Pad,             1,  MOVE,     pad,         _,            pad         )   // attr: before, spread, sizes; f
OP( Keep,            1,  MOVE,     same,        _,            keep        )   // has a buffer, as it is
OP( Concat,          2,  REDUCE,   concat,      _,            concat      )   // attr: axis
OP( Weave,           2,  REDUCE,   weave,       _,            weave       )   // attr: axis; the one's elements and the other's in turn

// ---- by index (ir/ops/index.c) ----
OP( Gather,          2,  MOVE,     gather,      _,            gather      )   // attr: axis
OP( GatherElements,  2,  MOVE,     gather_elements,  _,       gather_elements )   // attr: axis
OP( GatherND,        2,  MOVE,     gather_nd,        _,       gather_nd   )   // attr: how many leading axes are shared
OP( ScatterElements, 3,  BODY,     scatter_elements, _,       _           )   // attr: axis, how
OP( ScatterND,       3,  BODY,     scatter_nd,       _,       _           )   // attr: how
OP( TopKValues,      1,  BODY,     top_k,            _,       _           )   // attr: axis, k, largest, sorted
OP( TopKIndices,     1,  BODY,     top_k_indices,    _,       _           )
OP( Bits,            1,  BODY,     bits,             _,       _           )   // attr: type
OP( Iota,            0,  EWISE,    iota,        _,            iota        )   // attr: shape; f: axis
OP( BatchSize,       0,  EWISE,    batch_size,  _,            batch_size  )   // attr: factor
OP( Random,          0,  EWISE,    random,      _,            random      )   // attr: shape; f: stream

// ---- reductions (ir/ops/reduce.c) ----
OP( ReduceSum,       1,  REDUCE,   reduce,      _,            sum         )   // attr: axes, kept as size 1
OP( ReduceProd,      1,  REDUCE,   reduce,      _,            prod        )
OP( ReduceMax,       1,  REDUCE,   reduce,      _,            rmax        )   // f > 0: without gradient
OP( ReduceMin,       1,  REDUCE,   reduce,      _,            rmin        )
OP( ReduceMean,      1,  REDUCE,   reduce,      mean,         _           )
OP( Softmax,         1,  REDUCE,   same,        softmax,      _           )   // attr: axes
OP( LogSoftmax,      1,  REDUCE,   same,        log_softmax,  _           )
OP( CumSum,          1,  BODY,     cum_sum,     _,            _           )   // attr: axis, exclusive, reverse
OP( CumProd,         1,  REDUCE,   cum_sum,     _,            cum_prod    )   // the same

// ---- windows: attr as Window in op.h (ir/ops/pool.c, contract.c) ----
OP( MaxPool,         1,  REDUCE,   pool,        _,            max_pool    )
OP( MaxPoolPlace,    2,  REDUCE,   max_pool_place,  _,        max_pool_place  )   // x, its MaxPool
OP( MaxPoolTap,      2,  REDUCE,   max_pool_tap,    _,        max_pool_tap    )   // the same; which of the window, as a value
OP( AveragePool,     1,  REDUCE,   pool,        average_pool, _           )   // f 1: padding counts
OP( SumPool,         1,  REDUCE,   pool,        _,            sum_pool    )

// ---- normalisation (ir/ops/norm.c) ----
OP( BatchNorm,       5,  EWISE,    same,        batch_norm,   _           )   // x scale shift mean var; f: epsilon, f2: momentum
OP( Dropout,         1,  EWISE,    same,        identity,     _           )   // f: ratio, f2: stream; training alone drops

// ---- sums of products (ir/ops/contract.c) ----
OP( MatMul,          2,  CONTRACT, matmul,      _,            matmul      )
OP( Conv,            2,  CONTRACT, conv,        _,            conv        )   // f: share of the products not with padding; 0: all

// ---- adjoints of windows, made by ir/ops/grad_window.c (ir/ops/adjoint.c) ----
OP( ConvDx,          2,  CONTRACT, conv_dx,     conv_dx,      conv_dx     )   // w dy
OP( ConvDw,          2,  CONTRACT, conv_dw,     _,            conv_dw     )   // x dy; f as Conv
OP( SumPoolDx,       1,  REDUCE,   pool_dx,     _,            sum_pool_dx )   // dy
OP( MaxPoolDx,       2,  REDUCE,   pool_dx,     _,            max_pool_dx )   // tap dy

// ---- blocked channels, made by passes/layout.c and winograd.c (ir/ops/blocked.c) ----
OP( ConvBlk,         2,  CONTRACT, conv_blk,    _,            conv_blk    )   // Window
OP( DepthwiseBlk,    2,  CONTRACT, depthwise_blk, _,          depthwise_blk ) // Window
OP( ConvDwBlk,       2,  CONTRACT, conv_dw_blk, _,            conv_dw_blk )   // x dy
OP( DepthwiseDwBlk,  2,  REDUCE,   depthwise_dw_blk, _,       depthwise_dw_blk )
OP( MatMulBlk,       2,  CONTRACT, matmul_blk,  _,            matmul_blk  )
OP( Tiles,           1,  MOVE,     tiles,       _,            tiles       )   // overlapping: apart, size, before, rows, columns
OP( Mix,             2,  MIX,      mix,         _,            mix         )   // along attr.i[0], by a table

// ---- regions and matrices (ir/ops/region.c) ----
OP( RoiAlign,        3,  BODY,     roi_align,    _,           _           )   // x rois image-numbers; attr: sizes, how
OP( RoiAlignDx,      4,  BODY,     same,         _,           _           )   // x rois image-numbers dy
OP( MaxRoiPool,      2,  BODY,     max_roi_pool, _,           _           )   // x rois; attr: sizes
OP( MaxRoiPoolDx,    3,  BODY,     same,         _,           _           )   // x rois dy
OP( Eliminate,       1,  BODY,     eliminate,    _,           _           )   // upper triangular, same determinant
OP( Det,             2,  REDUCE,   det,          _,           det         )   // x, its Eliminate
#undef OP
